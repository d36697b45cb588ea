"""Retailrocket, REES46, OTTO, YOOCHOOSE, MovieLens: samples as the original files have them."""

from __future__ import annotations

from collections.abc import Callable

from profiler.events import AnyEvent, Browse, Cart, Click, Purchase, decode_batch
from profiler.sources import source_named

Convert = Callable[..., list[AnyEvent]]


def test_retailrocket_visitors_are_anonymous(convert: Convert) -> None:
    events = convert(
        "retailrocket",
        "timestamp,visitorid,event,itemid,transactionid\n"
        "1433221332117,257597,view,355908,\n"
        "1433224214164,992329,addtocart,248676,\n"
        "1433222276276,599528,transaction,356475,4000\n",
        "events",
    )

    assert [type(event) for event in events] == [Browse, Cart, Purchase]
    assert events[0] == Browse(
        ts=1_433_221_332_117,
        anonymous_id="257597",
        item_id="355908",
        event_id="retailrocket:events:1",
        source="retailrocket",
    )


REES46_HEADER = (
    "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
)


def test_rees46_keeps_category_brand_price_and_session(convert: Convert) -> None:
    (event,) = convert(
        "rees46",
        REES46_HEADER + "2019-11-01 00:00:00 UTC,view,1003461,2053013555631882655,"
        "electronics.smartphone,xiaomi,489.07,520088904,4d3b30da-a5e4-49df-b1a8-ba5943f1dd33\n",
        "2019-Nov",
    )

    assert event == Browse(
        ts=1_572_566_400_000,
        user_id="520088904",
        item_id="1003461",
        category="electronics.smartphone",
        brand="xiaomi",
        price=489.07,
        session_id="4d3b30da-a5e4-49df-b1a8-ba5943f1dd33",
        event_id="rees46:2019-Nov:1",
        source="rees46",
    )


def test_rees46_removal_from_the_cart_is_not_an_addition(convert: Convert) -> None:
    events = convert(
        "rees46",
        REES46_HEADER
        + "2019-11-01 00:00:01 UTC,cart,5,1487580005092295511,,,2.62,463240011,26dd6e6e\n"
        + "2019-11-01 00:00:02 UTC,remove_from_cart,5,1487580005092295511,,,2.62,463240011,\n"
        + "2019-11-01 00:00:03 UTC,purchase,5,1487580005092295511,,,2.62,463240011,\n",
    )

    assert [type(event) for event in events] == [Cart, Cart, Purchase]
    assert [event.action for event in events if isinstance(event, Cart)] == ["add", "remove"]
    assert events[0].category == "1487580005092295511"
    assert events[0].brand is None


def test_an_otto_session_is_one_line_of_many_events(convert: Convert) -> None:
    events = convert(
        "otto",
        '{"session":12899779,"events":[{"aid":59625,"ts":1661724000278,"type":"clicks"},'
        '{"aid":59626,"ts":1661724000279,"type":"carts"}]}\n'
        '{"session":12899780,"events":[{"aid":1142000,"ts":1661724000378,"type":"orders"}]}\n',
        "test",
    )

    assert [type(event) for event in events] == [Click, Cart, Purchase]
    assert [event.event_id for event in events] == [
        "otto:test:1.1",
        "otto:test:1.2",
        "otto:test:2.1",
    ]
    assert [event.anonymous_id for event in events] == ["12899779", "12899779", "12899780"]


def test_an_unknown_otto_type_is_left_to_the_decoder(
    reasons: Callable[[str, str], list[str]],
) -> None:
    line = '{"session":1,"events":[{"aid":1,"ts":1661724000278,"type":"stares"}]}\n'

    assert reasons("otto", line) == ["unknown_type"]


def test_yoochoose_categories_are_missing_special_numbers_or_brands(convert: Convert) -> None:
    events = convert(
        "yoochoose",
        "1,2014-04-07T10:51:09.277Z,214536502,0\n"
        "1,2014-04-07T10:54:09.868Z,214536500,S\n"
        "1,2014-04-07T10:54:46.998Z,214536506,7\n"
        "1,2014-04-07T10:57:00.306Z,214577561,2089046319\n",
    )

    assert {type(event) for event in events} == {Click}
    assert [event.category for event in events] == [None, "S", "7", None]
    assert [event.brand for event in events] == [None, None, None, "2089046319"]
    assert events[0].ts == 1_396_867_869_277


def test_yoochoose_purchases_are_told_by_their_five_columns(convert: Convert) -> None:
    events = convert(
        "yoochoose",
        "420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n"
        "489758,2014-04-06T09:59:52.422Z,214826955,0,0\n",
        "yoochoose-buys",
    )

    assert {type(event) for event in events} == {Purchase}
    assert [(event.price, event.quantity) for event in events] == [(12_462.0, 1), (None, 1)]


def test_movielens_layouts_of_all_years_read_the_same(convert: Convert) -> None:
    commas = "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n1,306,3.5,1147868817\n"
    colons = "1::296::5::1147880044\n1::306::3.5::1147868817\n"
    tabs = "1\t296\t5\t1147880044\n1\t306\t3.5\t1147868817\n"

    events = convert("movielens", commas)

    assert [type(event) for event in events] == [Click, Browse]
    assert events[0].ts == 1_147_880_044_000
    assert convert("movielens", colons) == convert("movielens", tabs) == events


def test_a_broken_movielens_line_keeps_its_original_bytes() -> None:
    lines = [b"1::296::5::1147880044\n", b"1::296::5\n"]

    *_, broken = source_named("movielens").convert(lines, "ratings")

    assert broken.value == b"1::296::5"
    assert decode_batch([broken.value])[1][0].reason == "malformed"
