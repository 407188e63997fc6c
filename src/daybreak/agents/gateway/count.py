"""What one answer of a model has used, as far as it is known, and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from daybreak.settings import Price

CHARACTERS_A_TOKEN = 4
"""Of an answer's text, as bytes of UTF-8; for what nobody told."""
BYTES_A_TOKEN = 3
"""Of a request's body, so that its tokens are rather too many: it is what is set aside before the request."""
MEDIA_BYTES_A_TOKEN = 100
"""Of pictures and other data in a request, in base64."""
TOKENS_MAX = 2**40
"""A provider that tells more than this is not believed."""
WRITTEN_FACTOR, WRITTEN_LONG_FACTOR = 1.25, 2.0
"""Anthropic's price of input that is put into its cache for five minutes, and for an hour; times that of input."""


@dataclass(slots=True)
class Count:
    """Grows while an answer comes in."""

    input_tokens: int = 0
    """All of the input, cached or not; an estimate until it is told."""
    cached_tokens: int = 0
    written_tokens: int = 0
    """Of the input: put into the provider's cache for a short time."""
    written_long_tokens: int = 0
    """Likewise, for a long time."""
    output_tokens: int = 0
    """As told so far."""
    characters: int = 0
    """Bytes of text of the answer so far."""
    input_told: bool = False
    """And it was not nothing, which some servers say that do not count."""
    output_told: bool = False
    """The provider has said how much it was in the end."""
    ended: str = ""
    """Why the model stopped, in the provider's words."""
    done: bool = False
    """Nothing that counts comes any more."""

    @property
    def output_now(self) -> int:
        """Told, or from the characters; whichever is more, until the provider has said the last word."""
        if self._last_word:
            return self.output_tokens
        return max(self.output_tokens, -(-self.characters // CHARACTERS_A_TOKEN))

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_now

    @property
    def told(self) -> bool:
        return self.input_told and self._last_word

    @property
    def _last_word(self) -> bool:
        """Some servers tell of no tokens, whatever they wrote: they do not count."""
        return self.output_told and (self.output_tokens > 0 or self.characters == 0)

    def text(self, piece: object) -> None:
        """A piece of the answer: text, or pieces of JSON."""
        if isinstance(piece, str):
            self.characters += len(piece) if piece.isascii() else len(piece.encode("utf-8", "surrogatepass"))
        elif piece is not None:
            self.characters += len(repr(piece))


def number(value: object) -> int:
    """A count of tokens as others tell it: 0 for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= TOKENS_MAX:
        return int(value)
    return 0


def money_microusd(price: Price | None, count: Count) -> int:
    """Millionths of a dollar, rounded up; 0 where no price is known. Dollars for a million tokens are millionths of
    a dollar for one."""
    if price is None:
        return 0
    cached = min(count.cached_tokens, count.input_tokens)
    written = min(count.written_tokens, count.input_tokens - cached)
    long = min(count.written_long_tokens, count.input_tokens - cached - written)
    plain = count.input_tokens - cached - written - long
    own = plain + written * WRITTEN_FACTOR + long * WRITTEN_LONG_FACTOR
    cached_price = price.input if price.cached is None else price.cached
    return _whole(own * price.input + cached * cached_price + count.output_now * price.output)


def worst_microusd(price: Price | None, input_tokens: int, output_tokens: int, factor: float = 1.0) -> int:
    """The most that so many tokens can cost; `factor`: the dearest kind of input, times the price of input."""
    if price is None:
        return 0
    dearest = max(price.input * factor, 0.0 if price.cached is None else price.cached)
    return _whole(input_tokens * dearest + output_tokens * price.output)


def affordable(price: Price | None, money: int) -> int:
    """So many tokens of output can be paid with so many millionths of a dollar; -1 where there is less than none."""
    if money < 0:
        return -1
    if price is None or price.output * TOKENS_MAX <= money:
        return TOKENS_MAX
    tokens = math.floor(money / price.output)
    return tokens if worst_microusd(price, 0, tokens) <= money else tokens - 1


def _whole(microusd: float) -> int:
    return math.ceil(round(microusd, 6))  # 0.1 * 3 is a little more than 0.3
