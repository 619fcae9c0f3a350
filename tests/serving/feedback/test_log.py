import json
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import select, text

from ml.contract.errors import FeedbackError
from serving.feedback import log as log_module
from serving.feedback import writer
from serving.feedback.schema import impressions, requests
from tests.serving.conftest import wait_until
from tests.serving.feedback.rows import DAY, NOW_US, SECOND, event, shown


def rows_of(log, table):
    with log.reading() as connection:
        return connection.execute(select(table).order_by(table.columns[0])).mappings().all()


def known(log, since_us=0):
    return [event for page in log.events_known_since(since_us) for event in page]


def test_an_acknowledged_event_is_there_for_another_process_with_all_its_facts(open_log):
    full = event("e1", session_id="s", quantity=2.0, price=3.5, order_id="o1", request_id="r1")
    assert open_log().add([full]).result(10) == [True]
    assert known(open_log()) == [full]


def test_the_same_event_id_counts_once_in_a_call_across_calls_and_across_processes(open_log):
    first, second = open_log(), open_log()
    assert first.add([event("e1"), event("e1"), event("e2")]).result(10) == [True, False, True]
    assert first.add([event("e1", item_id="another")]).result(10) == [False]
    assert second.add([event("e2"), event("e3")]).result(10) == [False, True]
    assert [(found.event_id, found.item_id) for found in known(first)] == [("e1", "i001"), ("e2", "i001"), ("e3", "i001")]  # fmt: skip


def test_many_processes_writing_the_same_events_accept_each_once(open_log):
    logs = [open_log() for _ in range(3)]
    ids = [f"e{number}" for number in range(200)]

    def write(log):
        return [log.add([event(event_id)]).result(20)[0] for event_id in ids]

    with ThreadPoolExecutor(3) as pool:
        verdicts = list(pool.map(write, logs))
    assert [sum(of_one) for of_one in zip(*verdicts, strict=True)] == [1] * len(ids)
    assert len(known(logs[0])) == len(ids)


def test_what_arrives_during_a_commit_shares_the_next_one(log):
    commits = []
    sqlalchemy_event.listen(log.engine, "commit", lambda _connection: commits.append(1))
    waiting = [log.add([event(f"e{number}")]) for number in range(500)]
    assert not wait(waiting, 20).not_done
    assert all(future.result() == [True] for future in waiting)
    assert 1 <= len(commits) < 100


def test_events_come_back_in_pieces_in_the_order_they_were_received(log, monkeypatch):
    monkeypatch.setattr(log_module, "PAGE", 3)
    sent = [event(f"e{number}", at_us=NOW_US + (number // 2) * SECOND) for number in range(8)]
    log.add(sent).result(10)
    assert [[e.event_id for e in page] for page in log.events_known_since(NOW_US + SECOND)] == [
        ["e2", "e3", "e4"],
        ["e5", "e6", "e7"],
    ]
    assert known(log, NOW_US + DAY) == []


def test_a_list_is_written_with_its_places_and_its_trace(log):
    log.shown(shown("r1", "i001", "i002", trace=lambda: '{"why":[1.5]}', stages_ms={"rank": 0.8}, session_id="s"))
    assert log.trace_of("r1") == {"why": [1.5]}  # also before it is written
    wait_until(lambda: len(rows_of(log, impressions)) == 2)
    assert log.trace_of("r1") == {"why": [1.5]}
    assert log.trace_of("never shown") is None
    [request] = rows_of(log, requests)
    assert (request["surface"], request["bundle_version"], request["stages_ms"]) == ("homepage", "v1", '{"rank":0.8}')
    places = rows_of(log, impressions)
    assert [(p["item_id"], p["position"], p["source"], p["propensity"]) for p in places] == [
        ("i001", 1, "ease", 1.0),
        ("i002", 2, "ease", 1.0),
    ]
    assert {(p["request_id"], p["user_id"], p["session_id"], p["shown_at_us"]) for p in places} == {
        ("r1", "u", "s", NOW_US)
    }


def test_of_two_lists_with_one_request_id_the_first_counts_whole(log):
    log.shown(shown("r1", "i001", trace=lambda: '{"list":1}'))
    wait_until(lambda: rows_of(log, requests))
    log.shown(shown("r1", "i002", trace=lambda: '{"list":2}'))
    log.shown(shown("r2", "i003"))
    wait_until(lambda: len(rows_of(log, requests)) == 2)
    assert [place["item_id"] for place in rows_of(log, impressions)] == ["i001", "i003"]
    assert log.trace_of("r1") == {"list": 1}


def test_closing_writes_what_waits(open_log):
    log = open_log()
    waiting = [log.add([event(f"e{number}")]) for number in range(50)]
    for number in range(500):
        log.shown(shown(f"r{number}", "i001"))
    log.close()
    assert all(future.result(0) == [True] for future in waiting)
    again = open_log()
    assert len(rows_of(again, requests)) == 500
    assert log.dropped_lists == 0
    with pytest.raises(FeedbackError, match=r"is stopping\. Send them again"):
        log.add([event("late")])


def test_lists_that_do_not_fit_are_dropped_counted_and_said(log, monkeypatch, caplog):
    monkeypatch.setattr(writer, "MAX_WAITING_LISTS", 0)
    for number in range(3):
        log.shown(shown(f"r{number}", "i001"))
    assert log.dropped_lists == 3
    assert [record.message for record in caplog.records] == [
        "Shown lists are dropped: too many wait to be written. So far: 1."
    ]


def test_a_list_that_cannot_be_written_takes_no_other_with_it(log, caplog):
    log.shown(shown("r1", "i001"))
    log.shown(shown("r2", "i001", trace=lambda: json.dumps({"not JSON": object()})))
    log.shown(shown("r3", "i001"))
    wait_until(lambda: len(rows_of(log, requests)) == 2 and log.dropped_lists == 1)
    assert [row["request_id"] for row in rows_of(log, requests)] == ["r1", "r3"]
    assert "A list was not written." in caplog.text


def test_no_events_are_no_work(log):
    assert log.add([]).result(0) == []


def test_more_events_than_may_wait_are_refused_at_once(log, monkeypatch):
    monkeypatch.setattr(writer, "MAX_WAITING_EVENTS", 2)
    with pytest.raises(FeedbackError, match="At most 2 events may wait"):
        log.add([event("e1"), event("e2"), event("e3")])
    assert log.add([event("e1")]).result(10) == [True]


def test_an_event_the_database_refuses_takes_no_other_with_it(log, monkeypatch):
    """Rows are checked before they come here; this is what happens should one slip through."""
    insert = writer.GroupWriter._insert

    def slow_insert(self, rows):
        if any(row["event_id"] == "poison" for row in rows):
            raise ValueError("cannot be bound")
        return insert(self, rows)

    monkeypatch.setattr(writer.GroupWriter, "_insert", slow_insert)
    with log._writer._changed:  # so that they come in one group
        good, bad, other = (log.add([event(name)]) for name in ("good", "poison", "other"))
    assert good.result(10) == other.result(10) == [True]
    with pytest.raises(FeedbackError, match="None was acknowledged; send them again"):
        bad.result(10)


def test_what_people_did_is_in_no_line_of_the_process_log(log, caplog):
    with log.engine.begin() as connection:
        connection.exec_driver_sql("alter table interactions rename to hidden")
    with pytest.raises(FeedbackError):
        log.add([event("e1", item_id="something private")]).result(10)
    assert "Events not written" in caplog.text
    assert "private" not in caplog.text


def test_a_question_that_never_ends_is_broken_off_and_frees_its_connection(log, monkeypatch):
    monkeypatch.setattr(log_module, "_QUESTION_SECONDS", 0.05)
    endless = text("with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n")
    for _ in range(log_module.READERS + 1):
        with pytest.raises(FeedbackError, match="its database does not"):
            log.ask(lambda connection: connection.execute(endless).scalar())
    assert log.ask(lambda connection: connection.execute(select(1)).scalar()) == 1
