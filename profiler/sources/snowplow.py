"""Snowplow: enriched events, as the pipeline's tab-separated text or as JSON of its analytics SDKs.

The text has the 131 columns of the canonical event model in their fixed order. Self-describing data
in it are brought to the names that the SDKs give them, so that both forms are read alike. An
e-commerce action becomes one event per product among its entities.

The oldest e-commerce calls send an order twice, as a ``transaction`` and as one
``transaction_item`` per product: the items are the purchases, and the whole is not counted again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from profiler.sources.message import Fields, Format, Message, event_id, numbered, present
from profiler.sources.values import (
    currency_of,
    epoch_ms,
    fields_of,
    first_of,
    name_of,
    number_of,
    objects_of,
    text_of,
    whole_of,
)

COLUMNS: Final = tuple(
    """
    app_id platform etl_tstamp collector_tstamp dvce_created_tstamp event event_id txn_id
    name_tracker v_tracker v_collector v_etl user_id user_ipaddress user_fingerprint domain_userid
    domain_sessionidx network_userid geo_country geo_region geo_city geo_zipcode geo_latitude
    geo_longitude geo_region_name ip_isp ip_organization ip_domain ip_netspeed page_url page_title
    page_referrer page_urlscheme page_urlhost page_urlport page_urlpath page_urlquery
    page_urlfragment refr_urlscheme refr_urlhost refr_urlport refr_urlpath refr_urlquery
    refr_urlfragment refr_medium refr_source refr_term mkt_medium mkt_source mkt_term mkt_content
    mkt_campaign contexts se_category se_action se_label se_property se_value unstruct_event
    tr_orderid tr_affiliation tr_total tr_tax tr_shipping tr_city tr_state tr_country ti_orderid
    ti_sku ti_name ti_category ti_price ti_quantity pp_xoffset_min pp_xoffset_max pp_yoffset_min
    pp_yoffset_max useragent br_name br_family br_version br_type br_renderengine br_lang
    br_features_pdf br_features_flash br_features_java br_features_director br_features_quicktime
    br_features_realplayer br_features_windowsmedia br_features_gears br_features_silverlight
    br_cookies br_colordepth br_viewwidth br_viewheight os_name os_family os_manufacturer
    os_timezone dvce_type dvce_ismobile dvce_screenwidth dvce_screenheight doc_charset doc_width
    doc_height tr_currency tr_total_base tr_tax_base tr_shipping_base ti_currency ti_price_base
    base_currency geo_timezone mkt_clickid mkt_network etl_tags dvce_sent_tstamp refr_domain_userid
    refr_dvce_tstamp derived_contexts domain_sessionid derived_tstamp event_vendor event_name
    event_format event_version event_fingerprint true_tstamp
    """.split()  # noqa: SIM905  # a list of literals is no better to read
)
"""Columns of the canonical event model, in their order."""

ACTIONS: Final[dict[str, Fields]] = {
    "product_view": {"type": "browse"},
    "list_view": {"type": "browse"},
    "list_click": {"type": "click"},
    "promo_view": {"type": "browse"},
    "promo_click": {"type": "click"},
    "add_to_cart": {"type": "cart", "action": "add"},
    "remove_from_cart": {"type": "cart", "action": "remove"},
    "transaction": {"type": "purchase"},
    "refund": {"type": "refund"},
}
"""E-commerce actions; of a viewed list no product is taken for viewed."""

STRUCTURED: Final[dict[str, Fields]] = {
    "add_to_basket": {"type": "cart", "action": "add"},
    "add_to_cart": {"type": "cart", "action": "add"},
    "remove_from_basket": {"type": "cart", "action": "remove"},
    "remove_from_cart": {"type": "cart", "action": "remove"},
    "view_product": {"type": "browse"},
    "product_view": {"type": "browse"},
    "click": {"type": "click"},
}
"""Actions of structured events, of which the label names the item."""

SCHEMA_CHARS_MAX: Final = 256
"""Of the name of a schema, whose parts are remembered."""

_WANTED: Final = {
    name: COLUMNS.index(name)
    for name in (
        *("collector_tstamp", "derived_tstamp", "event", "event_id", "event_name"),
        *("user_id", "domain_userid", "network_userid", "domain_sessionid", "page_title"),
        *("se_action", "se_label", "ti_orderid", "ti_sku", "ti_name", "ti_category", "ti_price"),
        *("ti_quantity", "ti_currency", "tr_currency"),
    )
}
_SELF_DESCRIBING: Final = {
    COLUMNS.index(name): prefix
    for name, prefix in (("contexts", "contexts"), ("unstruct_event", "unstruct_event"))
}
_SNOWPLOW: Final = "com_snowplowanalytics_snowplow"
_SHOP: Final = f"{_SNOWPLOW}_ecommerce"
_UNSTRUCT: Final = "unstruct_event_"


class Snowplow(Struct, frozen=True):
    """Enriched events."""

    name: str = "snowplow"

    def recognises(self, message: Message) -> bool:
        """By the number of columns, or by the fields that every enriched event has."""
        return _is_text(message.value) or _is_event(message.object)

    def events(self, message: Message) -> list[Fields]:
        """Give one event per product or search, or one."""
        row = message.object if _is_event(message.object) else _row(message.value)
        found = _found(row)
        if not found:
            return []
        envelope = _envelope(row)
        return numbered([envelope | event for event in found])


def _is_text(value: bytes) -> bool:
    if value.count(b"\t") != len(COLUMNS) - 1:
        return False
    try:
        value.decode()
    except UnicodeError:
        return False
    return True


def _is_event(document: Fields) -> bool:
    return "collector_tstamp" in document and "event_id" in document and "event" in document


def _row(value: bytes) -> Fields:
    """Fields of a line of text, under the names that the SDKs give them."""
    columns = value.decode().split("\t")
    row: Fields = {name: columns[place] for name, place in _WANTED.items() if columns[place]}
    for place, prefix in _SELF_DESCRIBING.items():
        if not columns[place]:
            continue
        outer = fields_of(_json(columns[place])).get("data")
        for entity in objects_of(outer) if prefix == "contexts" else [fields_of(outer)]:
            key = f"{prefix}_{_key(str(entity.get('schema'))[:SCHEMA_CHARS_MAX])}"
            if prefix == "contexts":
                row.setdefault(key, []).append(entity.get("data"))
            else:
                row[key] = entity.get("data")
    return row


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


@lru_cache(maxsize=4_096)
def _key(schema: str) -> str:
    """Name that the SDKs give to data of a schema: vendor, name and major version.

    Examples
    --------
    >>> _key("iglu:com.snowplowanalytics.snowplow/link_click/jsonschema/1-0-1")
    'com_snowplowanalytics_snowplow_link_click_1'
    """
    vendor, _, rest = schema.removeprefix("iglu:").partition("/")
    name, _, version = rest.partition("/")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", f"{vendor}_{name}")
    major = version.rpartition("/")[2].partition("-")[0]
    return f"{re.sub(r'[^A-Za-z0-9]', '_', words)}_{major}".lower()


def _envelope(row: Fields) -> Fields:
    # The trackers of mobile apps have no cookie, but an id of their installation.
    client = _entity(row, f"{_SNOWPLOW}_client_session_1")
    anonymous = first_of(row, "domain_userid", "network_userid")
    return present(
        ts=epoch_ms(first_of(row, "derived_tstamp", "collector_tstamp")),
        event_id=event_id(row.get("event_id")),
        user_id=text_of(row.get("user_id")),
        anonymous_id=text_of(client.get("userId") if anonymous is None else anonymous),
        session_id=text_of(first_of(row, "domain_sessionid") or client.get("sessionId")),
    )


def _entities(row: Fields, key: str) -> list[Fields]:
    return objects_of(row.get(f"contexts_{key}"))


def _entity(row: Fields, key: str) -> Fields:
    return next(iter(_entities(row, key)), {})


def _found(row: Fields) -> list[Fields]:
    kind = row.get("event")
    if kind == "page_view":
        return [present(type="browse", title=text_of(row.get("page_title")))]
    if kind == "struct":
        return _structured(row)
    if kind == "transaction_item":
        return [_transaction_item(row)]
    if kind == "unstruct":
        return _self_described(row)
    return []


def _structured(row: Fields) -> list[Fields]:
    action, label = name_of(row.get("se_action")), text_of(row.get("se_label"))
    if action == "search":
        return [present(type="search", query=label)]
    return [STRUCTURED[action] | present(item_id=label)] if action in STRUCTURED else []


def _transaction_item(row: Fields) -> Fields:
    return present(
        type="purchase",
        item_id=text_of(row.get("ti_sku")),
        title=text_of(row.get("ti_name")),
        category=text_of(row.get("ti_category")),
        price=number_of(row.get("ti_price")),
        currency=currency_of(first_of(row, "ti_currency", "tr_currency")),
        quantity=whole_of(row.get("ti_quantity")),
    )


def _self_described(row: Fields) -> list[Fields]:
    key = next((name for name in row if name.startswith(_UNSTRUCT) and row[name]), "")
    data = fields_of(row.get(key))
    match key.removeprefix(_UNSTRUCT).removeprefix("com_snowplowanalytics_").rpartition("_")[0]:
        case "snowplow_ecommerce_snowplow_ecommerce_action":
            return _shopped(row, data)
        case "snowplow_add_to_cart":
            return [ACTIONS["add_to_cart"] | _product(data)]
        case "snowplow_remove_from_cart":
            return [ACTIONS["remove_from_cart"] | _product(data)]
        case "snowplow_link_click":
            title = text_of(first_of(data, "elementContent", "elementId"))
            return [present(type="click", title=title)]
        case "snowplow_button_click":
            return [present(type="click", title=text_of(data.get("label")))]
        case "snowplow_site_search":
            return [_search(data)]
        case "snowplow_screen_view" | "mobile_screen_view":
            return [present(type="browse", title=text_of(data.get("name")))]
        case _:
            return []


def _search(data: Fields) -> Fields:
    terms = data.get("terms")
    words = [term for term in terms if isinstance(term, str)] if isinstance(terms, list) else []
    n_results = whole_of(data.get("totalResults"))
    return present(type="search", query=" ".join(words), n_results=n_results)


def _shopped(row: Fields, action: Fields) -> list[Fields]:
    kind = action.get("type")
    if not isinstance(kind, str) or kind not in ACTIONS:
        return []
    if kind == "list_view":
        return [ACTIONS[kind] | present(title=text_of(action.get("name")))]
    if kind in ("promo_view", "promo_click"):
        promotion = _entity(row, f"{_SHOP}_promotion_1")
        return [ACTIONS[kind] | present(title=text_of(promotion.get("name")))]
    if products := _entities(row, f"{_SHOP}_product_1"):
        return [ACTIONS[kind] | _product(product) for product in products]
    if kind not in ("transaction", "refund"):
        return [ACTIONS[kind]]
    # A shop that names no products still tells what the order came to.
    order = _entity(row, f"{_SHOP}_{kind}_1")
    total = number_of(first_of(order, "revenue", "refund_amount"))
    return [ACTIONS[kind] | present(price=total, currency=currency_of(order.get("currency")))]


def _product(product: Fields) -> Fields:
    return present(
        item_id=text_of(first_of(product, "id", "sku")),
        title=text_of(product.get("name")),
        category=text_of(product.get("category")),
        brand=text_of(product.get("brand")),
        price=number_of(first_of(product, "price", "unitPrice")),
        currency=currency_of(product.get("currency")),
        quantity=whole_of(product.get("quantity")),
    )


FORMAT: Final[Format] = Snowplow()
