from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from ml.features.pseudonym import DEVELOPMENT_KEY
from serving.settings import ServiceSettings


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AISLE_HOME", "/data/aisle")
    monkeypatch.setenv("AISLE_SERVICE_PORT", "9000")
    monkeypatch.setenv("AISLE_BUNDLE", "2026-03-02-0a1b2c3d4e5f")
    settings = ServiceSettings()
    assert settings.releases_folder == Path("/data/aisle/releases")
    assert (settings.service_port, settings.bundle) == (9000, "2026-03-02-0a1b2c3d4e5f")


@pytest.mark.parametrize(
    ("releases", "folder", "remote"),
    [
        (None, "/data/releases", None),
        ("", "/data/releases", None),
        ("/mnt/releases", "/mnt/releases", None),
        ("gs://shop/releases", "/data/releases", "gs://shop/releases"),
    ],
)
def test_releases_lie_in_a_folder_or_are_mirrored_from_a_bucket(releases, folder, remote):
    settings = ServiceSettings(home=Path("/data"), releases=releases)
    assert (settings.releases_folder, settings.releases_remote) == (Path(folder), remote)


def test_releases_elsewhere_are_refused():
    with pytest.raises(ValidationError, match=r"must be a folder or gs://<bucket>/<prefix>\. Received: s3://shop"):
        ServiceSettings(releases="s3://shop/releases")


def test_production_refuses_the_development_key(monkeypatch):
    monkeypatch.setenv("AISLE_ENVIRONMENT", "production")
    with pytest.raises(ValidationError, match=r"needs a pseudonym key of its own.*Set AISLE_PSEUDONYM_KEY"):
        ServiceSettings()
    monkeypatch.setenv("AISLE_PSEUDONYM_KEY", "a key of the shop's own")
    assert ServiceSettings().pseudonym_key == SecretStr("a key of the shop's own")


def test_the_key_is_not_shown():
    assert DEVELOPMENT_KEY not in repr(ServiceSettings())


def test_an_unknown_environment_is_refused(monkeypatch):
    monkeypatch.setenv("AISLE_ENVIRONMENT", "prod")
    with pytest.raises(ValidationError, match=r"development.*production"):
        ServiceSettings()


@pytest.mark.parametrize("pin", ["../elsewhere", "a/b", ".hidden", ""])
def test_a_pin_is_a_name_and_never_a_path(pin):
    with pytest.raises(ValidationError, match="bundle"):
        ServiceSettings(bundle=pin)


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValidationError, match="poll_second"):
        ServiceSettings(poll_second=1)


def test_the_warehouse_has_the_same_development_key(repository):
    assert f"'{DEVELOPMENT_KEY}'" in (repository / "dbt_project/macros/pseudonym.sql").read_text()


def test_addresses_are_secrets_because_passwords_stand_in_them(monkeypatch):
    monkeypatch.setenv("AISLE_FEEDBACK_URL", "postgresql://aisle:hunter2@host/aisle")
    monkeypatch.setenv("AISLE_REDIS_URL", "redis://:hunter2@host/0")
    settings = ServiceSettings()
    assert "hunter2" not in repr(settings)
    assert settings.feedback_address == "postgresql://aisle:hunter2@host/aisle"
    assert settings.redis_address == "redis://:hunter2@host/0"


def test_files_of_the_home_move_with_it():
    settings = ServiceSettings(home="/data")
    assert settings.api_keys_path == Path("/data/api_keys.json")
    assert settings.feedback_path == Path("/data/feedback.db")
    assert ServiceSettings(home="/data", api_keys_file="/run/keys.json").api_keys_path == Path("/run/keys.json")


def test_several_workers_need_a_store_of_visits_that_all_of_them_see():
    with pytest.raises(
        ValidationError, match=r"AISLE_WORKERS=2 needs .* Received: no AISLE_REDIS_URL.* Set AISLE_REDIS_URL"
    ):
        ServiceSettings(workers=2)
    assert ServiceSettings(workers=2, redis_url="redis://127.0.0.1:6379/0").workers == 2
