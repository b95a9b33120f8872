"""What every SessionStore promises of searches."""

from __future__ import annotations

import math

import pytest

from services.chat.model import Message, Role
from services.kernel.paging import Page, PageRequest
from tests.fakes.chat_stores import ChatStores, new_session

# A text, what it is found by, and what it is not found by.
RUNS: list[tuple[str, list[str], list[str]]] = [
    (
        "see services/chat/wiring.py",
        ["wiring", "wiring.py", "services", "py services", "chat/"],
        ["wir", "servicesx"],
    ),
    ("and/or either", ["or", "and/or", "OR and"], ["either/and/nor"]),
    ("mail ana@example.com now", ["ana", "example.com", "ana@example.com", "com"], ["an"]),
    (
        "visit https://example.com/path/page?q=1",
        ["path", "page", "q", "1", "https://example.com"],
        ["pat"],
    ),
    ("date 2024-05-06 here", ["05", "06", "2024", "2024-05-06", "-05"], ["5", "024"]),
    ("range 5-6", ["6", "5", "5-6"], ["56"]),
    ("snake-case-word and foo_bar", ["snake-case", "case", "foo_bar"], ["foo", "bar"]),
    ("word.word.word", ["word", "word.word"], ["wordword"]),
    ("version v1.2.3-rc4", ["v1.2.3", "2.3", "rc4", "v1"], ["rc", "1.2.3"]),
    ("<b>tag</b> &amp; Dict<str, int>", ["b", "amp", "tag", "int", "<str"], ["st"]),
    ("STRASSE straße", ["strasse", "straße", "STRASSE", "Straße"], ["strase"]),
    ("Straße", ["strasse", "STRAẞE"], ["stra"]),
    ("İstanbul", ["İstanbul", "stanbul"], ["stan"]),
    (
        "the \ufb01rst o\ufb03ce of \u212aelvin, mo\u017ft",
        ["first", "OFFICE", "kelvin", "most"],
        ["irst", "ice"],
    ),
    ("ΣΟΦΟΣ σοφός Мир ᾼδης", ["σοφοσ", "ΣΟΦΌΣ", "мир", "МИР", "αιδης"], ["σοφο", "ми"]),
    ("日本語のテキストを検索する。東京", ["日本語のテキストを検索する", "東京"], ["検索", "日本"]),
    ("½ or ① of Ⅷ, don't", ["½", "①", "ⅷ", "don't", "t don"], ["1", "dont"]),
    ("l" * 70 + " end", ["l" * 64, "l" * 70, "L" * 80], ["l" * 63]),
    ("l" * 63 + "ß end", ["l" * 63 + "ß", "l" * 63 + "s"], ["l" * 63]),
]


def texts(page: Page[Message]) -> list[str]:
    return [message.text for message in page.items]


async def found(stores: ChatStores, query: str, session_id: str = "", user_id: str = "u1") -> set[str]:
    page = await stores.sessions.search(user_id, session_id, query, PageRequest(100))
    assert page.after is None
    return set(texts(page))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("lima", {"Where is Lima?", "LIMA, the capital"}),
        ("LIMA WHERE", {"Where is Lima?"}),
        ("capital the", {"LIMA, the capital"}),
        ("árbol", {"Un Árbol, dos árboles"}),
        ("ÁRBOL dos", {"Un Árbol, dos árboles"}),
        ("lima árbol", set()),
        ("lim", set()),
        ("nothing", set()),
        ('"lima" & !where | (is:* <-> \'x', set()),
        ("'lima", {"Where is Lima?", "LIMA, the capital"}),
        ("日本", {"日本 東京"}),
    ],
)
async def test_a_message_has_all_words_whatever_their_case(
    chat_stores: ChatStores, query: str, expected: set[str]
) -> None:
    session = await chat_stores.opened()
    await chat_stores.said(
        session, "Where is Lima?", "LIMA, the capital", "Un Árbol, dos árboles", "limass", "日本 東京"
    )
    assert await found(chat_stores, query) == expected


async def test_a_word_is_a_run_of_letters_and_digits(chat_stores: ChatStores) -> None:
    for text, queries, strangers in RUNS:
        id_ = (session := await chat_stores.opened()).session_id
        await chat_stores.said(session, text, "something else")
        for query in queries:
            assert await found(chat_stores, query, id_) == {text}, query
        for query in (*strangers, "!", "…", " ", "\u0301"):
            assert await found(chat_stores, query, id_) == set(), query


async def test_what_is_behind_the_first_100000_characters_is_not_found(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    await chat_stores.said(session, "first " + "- " * 50_000 + "last")
    assert len(await found(chat_stores, "first")) == 1
    assert await found(chat_stores, "last") == set()


async def test_the_score_is_the_same_in_every_store(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    await chat_stores.said(session, "lima lima quito", "lima and quito and more words", "lima quito")
    page = await chat_stores.sessions.search("u1", "", "quito LIMA", PageRequest(1))
    assert texts(page) == ["lima lima quito"]
    score = (math.log1p(2) + math.log1p(1)) / (1 + math.log1p(3))
    assert page.after == f"{round(score, 9)!r} {page.items[0].message_id}"


async def test_the_newest_hits_are_ranked(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    source = (
        await chat_stores.said(session, "lima lima best", *(f"lima {number}" for number in range(124)))
    )[-1]
    for _ in range(8):
        fork = new_session(forked_from_session_id=session.session_id)
        assert await chat_stores.sessions.fork_session(fork, source.message_id, None) is not None
    page = await chat_stores.sessions.search("u1", "", "lima best", PageRequest(100))
    assert len(page.items) == 9
    hits, after = 0, None
    while True:
        page = await chat_stores.sessions.search("u1", "", "lima", PageRequest(100, after))
        hits, after = hits + len(page.items), page.after
        if after is None:
            break
    assert hits == 1_000


async def test_words_may_stand_in_several_parts(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    (message,) = await chat_stores.said(session, "one")
    assert await found(chat_stores, "one") == {"one"}
    await chat_stores.answered("u1", session, "one or two")
    assert await found(chat_stores, "one two") == {"one or two"}
    assert message.text in await found(chat_stores, "one")


async def test_only_what_is_the_persons_is_found(chat_stores: ChatStores) -> None:
    mine, other, theirs = (
        await chat_stores.opened(),
        await chat_stores.opened(),
        await chat_stores.opened("u2"),
    )
    await chat_stores.said(mine, "hola mine")
    await chat_stores.said(other, "hola other")
    await chat_stores.said(theirs, "hola theirs")
    await chat_stores.answered("u1", None, "hola without a session")
    assert await found(chat_stores, "hola") == {"hola mine", "hola other"}
    assert await found(chat_stores, "hola", mine.session_id) == {"hola mine"}
    assert await found(chat_stores, "hola", theirs.session_id) == set()
    assert await found(chat_stores, "hola", user_id="u2") == {"hola theirs"}


async def test_the_best_come_first_and_of_equals_the_newest(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    await chat_stores.said(session, "lima or quito", role=Role.ASSISTANT)
    long = "lima " + "and many other things that are said around it " * 20
    await chat_stores.said(session, long)
    first, second = await chat_stores.said(session, "lima lima lima", "lima lima lima")
    page = await chat_stores.sessions.search("u1", "", "lima", PageRequest())
    assert [message.message_id for message in page.items[:2]] == [second.message_id, first.message_id]
    assert texts(page)[2:] == ["lima or quito", long]


async def test_pages_follow_one_another_while_more_is_said(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    said = [
        *await chat_stores.said(session, *(f"lima {number}" for number in range(7))),
        *await chat_stores.said(session, *("lima lima " + "x " * number for number in range(6))),
    ]
    whole = await chat_stores.sessions.search("u1", "", "lima", PageRequest(100))
    assert {message.message_id for message in whole.items} == {message.message_id for message in said}
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await chat_stores.sessions.search("u1", "", "lima", PageRequest(3, after))
        seen += [message.message_id for message in page.items]
        await chat_stores.said(session, "lima lima lima lima", "lima with much that is of no interest here")
        if page.after is None or len(seen) > 100:
            break
        after = page.after
    assert len(seen) == len(set(seen))
    old = {message.message_id for message in said}
    assert [id_ for id_ in seen if id_ in old] == [message.message_id for message in whole.items]
    skipped = await chat_stores.sessions.search("u1", "", "lima 3", PageRequest(5, skip=1))
    assert list(skipped.items) == []


async def test_pages_of_large_messages_hold_fewer(chat_stores: ChatStores) -> None:
    session = await chat_stores.opened()
    said = await chat_stores.said(session, *("lima " + "x" * 1_000_000 for _ in range(4)))
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await chat_stores.sessions.search("u1", "", "lima", PageRequest(100, after))
        assert 1 <= len(page.items) <= 3
        seen += [message.message_id for message in page.items]
        if page.after is None:
            break
        after = page.after
    assert seen == [message.message_id for message in said][::-1]
