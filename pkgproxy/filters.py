r"""The rules: what happens to a URL. The operator's file first, then the built-in ones.

One rule a line, first match wins, searched in the absolute URL::

    # comment
    /Packages.*              a bare regex: never stored
    cache \.qcow2$           an action and a regex; a URL holds no space
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pkgproxy.builtin import BUILT_IN
from pkgproxy.message.errors import RulesError
from pkgproxy.message.memory import Memory


class Action(Enum):
    """What a rule says of the URLs that it matches."""

    CACHE = "cache"  #: kept for good: the version is in the name
    AUTO = "auto"  #: kept, unless the origin's answer says that it changes
    REVALIDATE = "revalidate"  #: kept, and checked with the origin at each use
    PASS = "pass"  #: never stored
    DENY = "deny"  #: answered with 403


@dataclass(frozen=True, slots=True)
class Rule:
    """An action, the regex that calls for it, and where it stands."""

    action: Action
    pattern: re.Pattern[str]
    origin: str


_ACTIONS = {action.value: action for action in Action}


class Rules:
    """An ordered list of rules. The last built-in one matches everything."""

    def __init__(self, operators: Iterable[Rule] = ()) -> None:
        own = list(operators)
        self.count = len(own)
        self._rules = [*own, *built_in()]
        self._remembered: Memory[str, Rule] = Memory()

    def match(self, url: str) -> Rule:
        """The first rule whose regex is found in this absolute URL."""
        rule = self._remembered.get(url)
        if rule is None:
            found = next(rule for rule in self._rules if rule.pattern.search(url))
            rule = self._remembered.put(url, found)
        return rule


def built_in() -> list[Rule]:
    """The rules that know what package managers fetch."""
    return [
        Rule(Action(action), re.compile(regex), f"built-in: {name}")
        for action, name, regex in BUILT_IN
    ]


def load_rules(path: Path) -> Rules:
    """Read a rules file. Raises RulesError with ``FILE:LINE: reason``."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RulesError(f"{path}:0: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RulesError(f"{path}:{line}: this is not UTF-8") from error
    return Rules(parse_rules(text, str(path)))


def parse_rules(text: str, name: str) -> list[Rule]:
    """The rules in a text. Raises RulesError with ``name:LINE: reason``."""
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            rules.append(_parse_line(line, f"{name}:{number}"))
    return rules


def _parse_line(line: str, origin: str) -> Rule:
    word, *rest = line.split(None, 1)
    regex = rest[0] if rest else ""
    if regex and word not in _ACTIONS:
        known = ", ".join(_ACTIONS)
        raise RulesError(f"{origin}: {word!r} is not an action; there are {known}")
    if not regex and word in _ACTIONS:
        raise RulesError(f"{origin}: the action {word!r} stands without a regex")
    try:
        pattern = re.compile(regex or word)
    except (re.error, OverflowError, RecursionError) as error:
        raise RulesError(f"{origin}: bad regex: {error}") from None
    return Rule(_ACTIONS[word] if regex else Action.PASS, pattern, origin)
