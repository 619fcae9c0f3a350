import json
import logging
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from ml.contract.errors import PlatformError
from serving.security import __main__ as command
from serving.security import keys
from serving.security.keys import ApiKey, KeyFile, KeyRing, Scope, development_key, key_ring
from serving.settings import ServiceSettings

NOW = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "api_keys.json"


def written(path, *scopes, name="shop"):
    secret, key = ApiKey.make(name, scopes, now=NOW)
    KeyFile.read(path).with_key(key).write(path)
    return secret, key


def test_keys_made_at_the_same_moment_are_all_kept(path, monkeypatch):
    read = KeyFile.read.__func__

    def read_and_dawdle(cls, *arguments):
        file = read(cls, *arguments)
        time.sleep(0.02)  # so that without a lock everybody would have read before anybody wrote
        return file

    monkeypatch.setattr(KeyFile, "read", classmethod(read_and_dawdle))
    made = [ApiKey.make(f"shop{number}", [Scope.READ], now=NOW)[1] for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: KeyFile.change(path, lambda file: file.with_key(key)), made))
    assert {key.key_id for key in KeyFile.read(path).keys} == {key.key_id for key in made}


def test_a_key_is_found_by_itself_and_by_nothing_near_it(path):
    secret, key = written(path, Scope.READ)
    ring = KeyRing(path)
    assert ring.find(secret) == key
    head, tail = secret[:15], secret[15:]
    swapped = head + tail.swapcase()
    for near in ("", secret[:-1], secret + "a", swapped, f"aisle_00000000_{secret[15:]}", key.sha256, "é" * 50):
        assert ring.find(near) is None, near


def test_the_file_holds_a_hash_and_the_key_is_nowhere(path):
    secret, key = written(path, Scope.READ, Scope.WRITE)
    [kept] = json.loads(path.read_text())["keys"]
    assert kept["sha256"] == sha256(secret.encode()).hexdigest()
    assert secret.split("_", 2)[2] not in path.read_text() + repr(key)


def test_every_lookup_compares_one_hash_in_constant_time_whether_the_key_exists_or_not(path, monkeypatch):
    secret, _ = written(path, Scope.READ)
    ring = KeyRing(path)
    compared = []
    real = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or real(a, b))
    for presented in (secret, secret[:-1] + "_", f"aisle_ffffffff_{'a' * 43}", "nonsense"):
        ring.find(presented)
    assert compared == [(64, 64)] * 4


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        ({Scope.READ}, {Scope.READ}),
        ({Scope.WRITE}, {Scope.WRITE}),
        ({Scope.READ, Scope.WRITE}, {Scope.READ, Scope.WRITE}),
        ({Scope.ADMIN}, set(Scope)),
    ],
)
def test_a_key_may_do_what_its_scopes_say_and_no_more(scopes, may):
    _, key = ApiKey.make("shop", scopes, now=NOW)
    assert {scope for scope in Scope if key.may(scope)} == may


def test_rotation_old_and_new_both_live_then_the_old_one_ends_without_a_restart(path, monkeypatch):
    old, old_key = written(path, Scope.READ)
    clock = [0.0]
    monkeypatch.setattr(keys, "monotonic", lambda: clock[0])
    ring = KeyRing(path)
    new, new_key = written(path, Scope.READ)
    clock[0] += keys.RELOAD_SECONDS
    assert (ring.find(old), ring.find(new)) == (old_key, new_key)
    with pytest.raises(PlatformError, match=f"may have 2 live keys.*{old_key.key_id}, {new_key.key_id}.*revoke"):
        written(path, Scope.READ)
    KeyFile.read(path).without(old_key.key_id, now=NOW).write(path)
    clock[0] += keys.RELOAD_SECONDS
    assert (ring.find(old), ring.find(new)) == (None, new_key)
    written(path, Scope.READ)  # room for a successor again


def test_a_file_broken_by_an_edit_locks_nobody_out_and_is_said(path, monkeypatch, caplog):
    secret, key = written(path, Scope.READ)
    clock = [0.0]
    monkeypatch.setattr(keys, "monotonic", lambda: clock[0])
    ring = KeyRing(path)
    path.write_text("{")
    clock[0] += keys.RELOAD_SECONDS
    assert ring.find(secret) == key
    assert "API keys not reloaded" in caplog.text
    with pytest.raises(PlatformError, match=r"must be a file of API keys, made by `python -m serving.security`"):
        KeyRing(path)


def test_the_development_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    path = tmp_path / "home" / "development_api_key"
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(development_key, [path] * 8))
    [key] = made
    assert path.read_text() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - hidden files too
    path.write_text("hunter2")
    with pytest.raises(PlatformError, match="must hold one API key") as refusal:
        development_key(path)
    assert "hunter2" not in str(refusal.value)


def test_development_has_a_key_of_its_own_and_production_refuses_to_start_without_one(tmp_path):
    ring = key_ring(ServiceSettings(home=tmp_path))
    secret = development_key(tmp_path / "development_api_key")
    assert ring.find(secret).may(Scope.ADMIN)
    production = ServiceSettings(home=tmp_path, environment="production", pseudonym_key="the shop's own")
    with pytest.raises(PlatformError, match=r"needs an API key.*new-key --name shop"):
        key_ring(production)
    mine, key = written(production.api_keys_path, Scope.READ)
    ring = key_ring(production)
    assert ring.find(mine) == key
    assert ring.find(secret) is None


def test_the_command_makes_lists_and_revokes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AISLE_HOME", str(tmp_path))
    assert command.main(["new-key", "--name", "shop", "--scope", "read", "--scope", "write"]) == 0
    shown = capsys.readouterr()
    secret = shown.out.strip()
    assert "only time it is shown" in shown.err
    key = KeyRing(tmp_path / "api_keys.json").find(secret)
    assert (key.name, key.scopes) == ("shop", {Scope.READ, Scope.WRITE})
    assert command.main(["list"]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith(f"{key.key_id}  shop  read,write  made ")
    assert secret not in listed
    assert command.main(["revoke", key.key_id]) == 0
    assert command.main(["revoke", key.key_id]) == 1
    assert f"Received: {key.key_id}" in capsys.readouterr().err
    assert KeyRing(tmp_path / "api_keys.json").find(secret) is None
    assert command.main(["new-key", "--name", "two words", "--scope", "read"]) == 1


def test_a_lookup_writes_no_line(path, caplog):
    secret, _ = written(path, Scope.READ)
    with caplog.at_level(logging.DEBUG):
        KeyRing(path).find(secret)
        KeyRing(path).find("wrong")
    assert caplog.text == ""
