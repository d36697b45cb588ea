"""The page stands alone: whatever stands in the data, it is shown and not obeyed."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec

from profiler.quality import Report, lines, page
from profiler.quality.examples import Example
from profiler.quality.report import Finding
from profiler.quality.timeliness import TimesReport

EVIL = "<img src=x onerror=alert(1)>\"'&</dd></style><script>"
TIMES = TimesReport(
    first_ms=None,
    last_ms=None,
    days=0,
    days_without=0,
    gaps=(),
    out_of_order=0,
    late_max_ms=0,
    delays={},
)
REPORT = Report(
    inputs=(EVIL,),
    source="native",
    rows=1,
    events=1,
    refused=0,
    unused=0,
    types={},
    findings=(
        Finding(
            dimension="validity",
            field="price",
            problem="not_positive",
            says="price ≤ 0",
            count=1,
            of=4,
            unit="events",
            share=0.25,
            examples=(Example(EVIL, {EVIL: EVIL, "title": "a\x1b[2Jb\nc"}),),
        ),
    ),
    columns=(),
    fields=(),
    times=TIMES,
    limits=(EVIL,),
)
EMPTY_TAGS = {"meta", "br"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_what_stands_in_the_data_is_no_markup() -> None:
    tags = Tags()

    tags.feed(page(REPORT))

    assert not tags.found & {"img", "script", "link", "iframe", "object"}
    assert not {name for name in tags.attributes if name.startswith("on")} | (
        tags.attributes & {"src", "href"}
    )
    assert not tags.open


def test_nothing_is_loaded_from_anywhere() -> None:
    plain = page(msgspec.structs.replace(REPORT, inputs=("file",), findings=(), limits=()))

    assert not re.search(r"https?://|url\(|@import", plain)
    assert "default-src 'none'" in plain


def test_the_page_fits_a_phone_and_follows_the_theme_of_the_reader() -> None:
    written = page(REPORT)

    assert 'name="viewport" content="width=device-width' in written
    assert "color-scheme:light dark" in written


def test_control_characters_in_data_do_not_reach_the_terminal() -> None:
    assert not [c for line in lines(REPORT) for c in line if not c.isprintable()]
