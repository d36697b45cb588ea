"""A simulated shop: its catalogue, its people and their sessions. See `profiler.simulate`.

People have tastes (a few categories and a brand) that drift and sometimes jump, hours at which they
are awake, and sessions. Whether a session ends in a purchase depends on what can be seen of it
(what was put into the cart, how deep it went, a purchase lately), so that a model can learn it.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.events import (
    AnyEvent,
    Browse,
    Cart,
    Checkin,
    Click,
    Feedback,
    Follow,
    Media,
    Message,
    Purchase,
    Refund,
    Search,
    Transaction,
)

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
SESSION_GAP_MS: Final = 30 * MINUTE_MS
CURRENCY: Final = "EUR"

CATEGORIES: Final = (
    "teapots", "lamps", "rugs", "mugs", "chairs", "novels", "cookbooks", "comics", "headphones",
    "keyboards", "cameras", "phones", "tents", "boots", "jackets", "scarves", "bicycles", "helmets",
    "puzzles", "board games", "seeds", "garden tools", "coffee", "chocolate",
)  # fmt: skip
BRANDS: Final = (
    "Alder", "Birk", "Corvo", "Dunmore", "Elkhorn", "Fjell", "Garrick", "Halden", "Isola", "Juno",
    "Kestrel", "Lumen", "Marlow", "Norvik", "Orsay", "Pavo", "Quill", "Rowan", "Sable", "Tern",
)  # fmt: skip
ADJECTIVES: Final = ("blue", "small", "classic", "light", "woven", "compact", "vintage", "soft")
REVIEWS: Final = {
    5.0: "exactly what I wanted, I love it",
    4.0: "good quality for the price",
    3.0: "it is all right",
    2.0: "not what the picture promised",
    1.0: "broken on arrival, very disappointed",
}
CITIES: Final = ((52.52, 13.40), (48.86, 2.35), (51.51, -0.13), (40.42, -3.70), (59.91, 10.75))

N_ITEMS: Final = 2_000
N_FAVOURITES: Final = 3
FAVOURITE_SHARES: Final = (0.55, 0.25, 0.12)  # the rest is spread over all categories

# Share of a day's sessions by hour of the person's day: asleep at 4, busiest at 20.
HOURS: Final = (2, 1, 1, 1, 1, 1, 2, 4, 6, 7, 8, 9, 10, 9, 8, 8, 9, 11, 13, 15, 16, 13, 8, 4)
WEEKEND_FACTOR: Final = 1.4


class Item(NamedTuple):
    """One item of the catalogue."""

    item_id: str
    title: str
    category: str
    brand: str
    price: float


class Catalogue:
    """Items, and which of them belong to a category."""

    def __init__(self, rng: np.random.Generator) -> None:
        prices = np.round(np.exp(rng.normal(3.2, 0.8, N_ITEMS)), 2)
        self.items = [
            Item(
                f"item-{number:04d}",
                f"{ADJECTIVES[int(rng.integers(len(ADJECTIVES)))]} "
                f"{BRANDS[brand]} {CATEGORIES[number % len(CATEGORIES)]}",
                CATEGORIES[number % len(CATEGORIES)],
                BRANDS[brand],
                float(prices[number]),
            )
            for number, brand in enumerate(rng.integers(len(BRANDS), size=N_ITEMS).tolist())
        ]
        self.by_category = [self.items[c :: len(CATEGORIES)] for c in range(len(CATEGORIES))]

    def pick(self, category: int, brand: str, rng: np.random.Generator) -> Item:
        """Choose an item of a category: a popular one, and of two rather that of the brand."""
        items = self.by_category[category]
        first, second = (items[int(len(items) * u * u)] for u in rng.random(2))
        return second if second.brand == brand else first


class Shopper:
    """One person and what the simulation remembers of them."""

    def __init__(self, number: int, sessions_per_day: float, rng: np.random.Generator) -> None:
        kind = float(rng.random())
        prefix, field = (
            ("user", "user_id")
            if kind < 0.85
            else ("visitor", "anonymous_id")
            if kind < 0.95
            else ("device", "device_id")
        )
        self.subject_id = f"{prefix}-{number:05d}"
        self.subject = {field: self.subject_id}
        self.friend: Shopper | None = None
        self.sessions_per_ms = sessions_per_day * float(rng.gamma(1.0, 1.0) + 0.1) / 1.1 / DAY_MS
        self.hours_ahead = int(rng.integers(-3, 4))
        self.city = CITIES[int(rng.integers(len(CITIES)))]
        self.n_sessions = 0
        self.bought_ms = 0
        self.favourites: NDArray[np.int64] = rng.choice(len(CATEGORIES), N_FAVOURITES, False)
        self.brand = BRANDS[int(rng.integers(len(BRANDS)))]

    def befriend(self, other: Shopper) -> None:
        """Have somebody to share things with, unless it is oneself."""
        self.friend = other if other is not self else None

    def next_session_ms(self, after_ms: int, rng: np.random.Generator) -> int:
        """Draw the next start of a session, by thinning a Poisson process (Lewis, Shedler 1979)."""
        peak = max(HOURS) / (sum(HOURS) / len(HOURS)) * WEEKEND_FACTOR
        at_ms = float(after_ms)
        while True:
            at_ms += float(rng.exponential(1.0 / (self.sessions_per_ms * peak)))
            if rng.random() * peak < self._activity(int(at_ms)):
                return int(at_ms)

    def change_taste(self, drift: float, jump: float, rng: np.random.Generator) -> None:
        """Now and then something new comes first (drift), rarely everything is new (jump)."""
        drawn = float(rng.random())
        if drawn < jump:
            self.favourites = rng.choice(len(CATEGORIES), N_FAVOURITES, False)
            self.brand = BRANDS[int(rng.integers(len(BRANDS)))]
        elif drawn < jump + drift:
            new = int(rng.integers(len(CATEGORIES)))
            self.favourites = np.roll(self.favourites, 1)
            self.favourites[0] = new

    def choose(self, catalogue: Catalogue, rng: np.random.Generator) -> Item:
        """Pick an item after one's taste."""
        drawn, category = float(rng.random()), int(rng.integers(len(CATEGORIES)))
        for favourite, share in zip(self.favourites, FAVOURITE_SHARES, strict=True):
            if drawn < share:
                category = int(favourite)
                break
            drawn -= share
        return catalogue.pick(category, self.brand, rng)

    def _activity(self, at_ms: int) -> float:
        local_ms = at_ms + self.hours_ahead * HOUR_MS
        of_day = HOURS[local_ms % DAY_MS // HOUR_MS] / (sum(HOURS) / len(HOURS))
        # 1970-01-01 was a Thursday: days 2 and 3 after it were the first weekend.
        return of_day * (WEEKEND_FACTOR if local_ms // DAY_MS % 7 in (2, 3) else 1.0)


def purchase_probability(n_carted: int, depth: int, bought_ago_ms: int) -> float:
    """Probability that a session ends in a purchase, from what can be observed of it.

    Examples
    --------
    >>> purchase_probability(0, 3, 90 * DAY_MS) < 0.03 < 0.5 < purchase_probability(3, 9, DAY_MS)
    True
    """
    lately = 1.0 if bought_ago_ms < 7 * DAY_MS else 0.0
    z = -4.8 + 1.5 * min(n_carted, 4) + 0.15 * min(depth, 15) + 0.8 * lately
    return 1.0 / (1.0 + math.exp(-z))


class Session:
    """One session of a shopper, played: its `events`, with refunds and reviews of later days."""

    def __init__(
        self, shopper: Shopper, catalogue: Catalogue, start_ms: int, rng: np.random.Generator
    ) -> None:
        self.events: list[AnyEvent] = []
        self.end_ms = start_ms
        self._shopper = shopper
        self._catalogue = catalogue
        self._rng = rng
        self._cart: list[Item] = []
        self._envelope = {
            **shopper.subject,
            "session_id": f"{shopper.subject_id}-{shopper.n_sessions}",
            "source": "simulation",
        }
        shopper.n_sessions += 1
        self._play()

    def _play(self) -> None:
        rng = self._rng
        depth = 1 + int(rng.poisson(4.0))
        eagerness = float(rng.beta(1.2, 5.0))  # how much of what they look at they put in the cart
        item = self._shopper.choose(self._catalogue, rng)
        for step in range(depth):
            if step:
                self.end_ms += 1_000 + int(min(rng.exponential(40_000), 10 * MINUTE_MS))
            item = self._step(step, item, eagerness)
        ago_ms = self.end_ms - self._shopper.bought_ms
        if rng.random() < purchase_probability(len(self._cart), depth, ago_ms):
            self._buy(self._cart or [item])

    def _step(self, step: int, item: Item, eagerness: float) -> Item:
        """Do one thing; returns the item that is looked at after it."""
        rng, drawn = self._rng, float(self._rng.random())
        if step and drawn < eagerness:
            self._cart.append(item)
            self._add(Cart, item)
        elif self._cart and drawn > 0.97:
            self._add(Cart, self._cart.pop(), action="remove")
        elif drawn > 0.90:
            self._aside(item)
        else:
            item = self._shopper.choose(self._catalogue, rng)
            if drawn > 0.80:
                self._add(Search, None, query=item.category, n_results=int(rng.integers(1, 90)))
            elif drawn > 0.40:
                self._add(Browse, item, dwell_ms=int(rng.exponential(15_000)) % HOUR_MS)
            else:
                self._add(Click, item)
        return item

    def _aside(self, item: Item) -> None:
        """Something other than shopping: an offer, a question, a friend, a place, a picture."""
        rng = self._rng
        kind = float(rng.random())
        if kind < 0.6:
            offered = self._catalogue.pick(int(rng.integers(len(CATEGORIES))), item.brand, rng)
            is_liked = offered.category in {CATEGORIES[c] for c in self._shopper.favourites}
            action = "clicked" if rng.random() < (0.4 if is_liked else 0.05) else "shown"
            self._add(Feedback, offered, action=action, propensity=1 / len(CATEGORIES))
        elif kind < 0.8:
            self._add(Message, None, text=f"is the {item.title} in stock?", channel="chat")
        elif kind < 0.85 and (friend := self._shopper.friend) is not None:
            ((field, target),) = friend.subject.items()
            kind_of_id = field.removesuffix("_id")
            self._add(Follow, None, relation="share", target_id=target, target_kind=kind_of_id)
        elif kind < 0.95:
            latitude, longitude = (float(x) for x in self._shopper.city + rng.normal(0, 0.02, 2))
            self._add(Checkin, None, latitude=latitude, longitude=longitude, accuracy_m=20.0)
        else:
            self._add(Media, None, kind="image", uri=f"https://example.org/{item.item_id}.jpg")

    def _buy(self, items: list[Item]) -> None:
        rng = self._rng
        self.end_ms += 20_000 + int(rng.exponential(60_000)) % (10 * MINUTE_MS)
        quantities = [1 + int(rng.poisson(0.3)) for _ in items]
        for item, quantity in zip(items, quantities, strict=True):
            self._add(Purchase, item, quantity=quantity)
        amount = sum(item.price * q for item, q in zip(items, quantities, strict=True))
        self._add(Transaction, None, amount=round(amount, 2), currency=CURRENCY, merchant_id="shop")
        self._shopper.bought_ms = paid_ms = self.end_ms
        for item, quantity in zip(items, quantities, strict=True):
            later_ms = paid_ms + int(rng.uniform(1, 12) * DAY_MS)
            if rng.random() < 0.06:
                self._add(Refund, item, later_ms, quantity=quantity)
            elif rng.random() < 0.15:
                rating = float(rng.choice((5.0, 4.0, 3.0, 2.0, 1.0), p=(0.45, 0.3, 0.1, 0.1, 0.05)))
                text = REVIEWS[rating]
                self._add(Message, None, later_ms, text=text, channel="review", rating=rating)

    def _add(
        self,
        event_type: type[AnyEvent],
        item: Item | None,
        later_ms: int | None = None,
        **fields: object,
    ) -> None:
        if item is not None:
            fields = {**item._asdict(), "currency": CURRENCY, **fields}
        ts = self.end_ms if later_ms is None else later_ms
        self.events.append(event_type(ts=ts, **self._envelope, **fields))  # type: ignore[arg-type]  # fields fit the type
