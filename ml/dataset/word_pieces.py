"""Texts as the numbers of BERT's word pieces, from the `vocab.txt` that every model of that family comes with."""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ml.contract.errors import ContractError

VOCABULARY, CONFIG = "vocab.txt", "tokenizer_config.json"
START, END, UNKNOWN = "[CLS]", "[SEP]", "[UNK]"
LONGEST_WORD = 100
"""Letters; a longer one is unknown."""
CJK = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""Each letter of these is a word."""


@dataclass(frozen=True)
class WordPieces:
    """Devlin et al. 2019, "BERT", section 3: words are cut into the longest pieces that the vocabulary holds, from the left."""

    numbers: Mapping[str, int]
    lower_case: bool

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Of a folder as models are published in; case counts where its `tokenizer_config.json` says so.

        Raises:
            ContractError: the vocabulary is not one of word pieces.
        """
        lines = (folder / VOCABULARY).read_text(encoding="utf-8").splitlines()
        numbers = {piece: number for number, piece in enumerate(lines)}
        if missing := [piece for piece in (START, END, UNKNOWN) if piece not in numbers]:
            raise ContractError(
                f"{folder / VOCABULARY} must be a vocabulary of BERT's word pieces, one a line. Received: {len(lines)} lines without "
                f"{', '.join(missing)}. Take a model of that family: all-MiniLM-L6-v2 say."
            )
        config = folder / CONFIG
        says = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
        return cls(numbers, bool(says.get("do_lower_case", True)))

    def of(self, text: str, *, at_most: int) -> list[int]:
        """Start, pieces, end; what is too long is cut off.

        >>> pieces = WordPieces({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "cup": 3, "##s": 4, "!": 5}, lower_case=True)
        >>> pieces.of("Cups! Spade", at_most=10)
        [1, 3, 4, 5, 0, 2]
        """
        found = [self.numbers[START]]
        for word in self._words(text):
            found += self._pieces(word)
            if len(found) >= at_most:
                break
        return [*found[: at_most - 1], self.numbers[END]]

    def _words(self, text: str) -> Iterator[str]:
        spaced = "".join(_spaced(letter) for letter in text)
        if self.lower_case:
            spaced = "".join(
                letter for letter in unicodedata.normalize("NFD", spaced) if unicodedata.category(letter) != "Mn"
            )
            spaced = spaced.lower()
        return iter("".join(f" {letter} " if _is_punctuation(letter) else letter for letter in spaced).split())

    def _pieces(self, word: str) -> list[int]:
        if len(word) > LONGEST_WORD:
            return [self.numbers[UNKNOWN]]
        found, start = [], 0
        while start < len(word):
            ends = range(len(word), start, -1)
            mark = "##" if start else ""
            end = next((end for end in ends if mark + word[start:end] in self.numbers), None)
            if end is None:
                return [self.numbers[UNKNOWN]]
            found.append(self.numbers[mark + word[start:end]])
            start = end
        return found


def _spaced(letter: str) -> str:
    """Blanks for what separates words, nothing for what cannot be seen."""
    if letter in "\t\n\r" or unicodedata.category(letter) == "Zs":
        return " "
    if letter in "\0\ufffd" or unicodedata.category(letter).startswith("C"):
        return ""
    return f" {letter} " if any(first <= ord(letter) <= last for first, last in CJK) else letter


def _is_punctuation(letter: str) -> bool:
    ascii_sign = letter.isascii() and letter.isprintable() and not letter.isalnum() and letter != " "
    return ascii_sign or unicodedata.category(letter).startswith("P")
