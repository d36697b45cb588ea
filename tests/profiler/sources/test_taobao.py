from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from profiler.events import AnyEvent, Browse, Cart, Click, Purchase, decode_batch
from profiler.sources import source_named

Convert = Callable[..., list[AnyEvent]]

# As the original UserBehavior.csv begins: no header.
SAMPLE = """\
1,2268318,2520377,pv,1511544070
1,2333346,2520771,cart,1511561733
1,2576651,149192,fav,1511572885
100,1603476,2951368,buy,1511579908
"""
HEADER = "user_id,item_id,category_id,behavior,timestamp\n"


def test_behaviours_become_types_and_seconds_milliseconds(convert: Convert) -> None:
    events = convert("taobao", SAMPLE, "UserBehavior")

    assert [type(event) for event in events] == [Browse, Cart, Click, Purchase]
    assert events[0] == Browse(
        ts=1_511_544_070_000,
        user_id="1",
        item_id="2268318",
        category="2520377",
        event_id="taobao:UserBehavior:1",
        source="taobao",
    )


def test_a_header_is_recognised_and_is_not_a_row(convert: Convert) -> None:
    assert convert("taobao", HEADER + SAMPLE) == convert("taobao", SAMPLE)


def test_a_header_decides_where_the_columns_stand(convert: Convert) -> None:
    turned = (
        "behavior,timestamp,extra,user_id,category_id,item_id\npv,1511544070,x,1,2520377,2268318\n"
    )

    assert convert("taobao", turned) == convert("taobao", SAMPLE)[:1]


def test_a_byte_order_mark_hides_no_header(convert: Convert) -> None:
    assert convert("taobao", "\ufeff" + HEADER + SAMPLE) == convert("taobao", SAMPLE)


def test_what_is_wrong_is_named_by_the_decoder(reasons: Callable[[str, str], list[str]]) -> None:
    rows = "1,2,3,pv,soon\n1,2,3,stare,1511544070\n,2,3,pv,1511544070\n1,2,3,pv\n1,2,3,pv,-5\n"

    assert reasons("taobao", rows) == [
        "invalid:ts",
        "unknown_type",
        "invalid:user_id",
        "malformed",
        "invalid:ts",
    ]


def test_the_real_burst_is_accepted_wholly(data_lines: Callable[[str], list[bytes]]) -> None:
    lines = data_lines("taobao_burst.csv.gz")

    records = list(source_named("taobao").convert(lines, "taobao_burst"))

    events, rejected = decode_batch([record.value for record in records])
    assert not rejected
    assert Counter(type(event) for event in events) == {
        Browse: 98_361,
        Cart: 6_063,
        Click: 3_383,
        Purchase: 2_493,
    }
    assert len({event.user_id for event in events if event is not None}) == 66_454
