"""What a text must hold: constraints of beam search, and how far a text has got with them."""

from __future__ import annotations

import copy as copies
from collections.abc import Sequence
from typing import Any

from formers.generation.processors.base import require, whole


class Constraint:
    """Tokens that a text must hold, one after the other.

    Subclasses define `advance`, `does_advance`, `update`, `reset`, `remaining` and `copy`, set `seqlen`, the
    most tokens that it takes, and end their `__init__` with `super().__init__()`, which tries them.
    """

    seqlen: int

    def __init__(self) -> None:
        self.test()

    def test(self) -> None:
        """Fulfil the constraint once.

        Raises:
            ValueError: when it does not get there by the tokens that it names itself.
        """
        for _ in range(10_000):
            step = self.advance()
            token = step[0] if isinstance(step, list) else step
            require(
                token is not None and self.does_advance(token),
                f"{type(self).__name__}.does_advance() refuses {token!r}, which advance() gave",
            )
            _, completed, reset = self.update(token)
            require(not reset, f"{type(self).__name__}.update({token!r}) resets, though the token advances")
            if completed:
                require(self.remaining() == 0, f"{type(self).__name__} is completed, but something remains")
                self.reset()
                return
        raise ValueError(f"{type(self).__name__} is never completed")

    def advance(self) -> Any:
        """The token, or a list of tokens, that would make progress; None when completed."""
        raise NotImplementedError(f"{type(self).__name__} has to define advance()")

    def does_advance(self, token_id: int) -> bool:
        """Whether a token makes progress."""
        raise NotImplementedError(f"{type(self).__name__} has to define does_advance(token_id)")

    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        """Take a token in; whether it made progress, completed the constraint, or set it back."""
        raise NotImplementedError(f"{type(self).__name__} has to define update(token_id)")

    def reset(self) -> None:
        """Begin anew."""
        raise NotImplementedError(f"{type(self).__name__} has to define reset()")

    def remaining(self) -> int:
        """Tokens that are missing still."""
        raise NotImplementedError(f"{type(self).__name__} has to define remaining()")

    def copy(self, stateful: bool = False) -> Constraint:
        """Another such constraint, with the progress of this one if `stateful`."""
        raise NotImplementedError(f"{type(self).__name__} has to define copy(stateful)")


class DisjunctiveConstraint(Constraint):
    """One of several words, each a list of ids. None may begin with another one.

    Raises:
        ValueError: for what is no list of such lists.
    """

    def __init__(self, nested_token_ids: list[list[int]]) -> None:
        self.token_ids = _words(nested_token_ids, "nested_token_ids")
        for word in self.token_ids:
            longer = [one for one in self.token_ids if one is not word and one[: len(word)] == word]
            require(
                not longer, f"{word} begins another of the words, {longer}, which could never be told apart"
            )
        self.seqlen = max(map(len, self.token_ids))
        self.current_seq: list[int] = []
        self.completed = False
        super().__init__()

    def advance(self) -> list[int] | None:
        """Tokens that go on with one of the words."""
        held = len(self.current_seq)
        rest = [word[held] for word in self.token_ids if len(word) > held and word[:held] == self.current_seq]
        return list(dict.fromkeys(rest)) or None

    def does_advance(self, token_id: int) -> bool:
        """Whether a token goes on with one of them."""
        return token_id in (self.advance() or ())

    def update(self, token_id: int) -> tuple[bool, bool, bool]:
        """As of `Constraint`."""
        stepped = self.does_advance(token_id)
        if stepped:
            self.current_seq = [*self.current_seq, token_id]
            self.completed = self.current_seq in self.token_ids
        else:
            self.reset()
        return stepped, self.completed, not stepped

    def reset(self) -> None:
        """As of `Constraint`."""
        self.current_seq, self.completed = [], False

    def remaining(self) -> int:
        """As of `Constraint`, for the longest of the words."""
        return 0 if self.completed else self.seqlen - len(self.current_seq)

    def copy(self, stateful: bool = False) -> Constraint:
        """As of `Constraint`."""
        other = copies.copy(self)
        if not stateful:
            other.reset()
        return other


class PhrasalConstraint(DisjunctiveConstraint):
    """Tokens in their order.

    Raises:
        ValueError: for what is no list of ids.
    """

    def __init__(self, token_ids: list[int]) -> None:
        super().__init__(_words([token_ids], "token_ids"))


class ConstraintListState:
    """How far a text has got with all its constraints. They are met in any order, one at a time.

    Attributes:
        completed: whether all are.
    """

    def __init__(self, constraints: Sequence[Constraint]) -> None:
        self.constraints = list(constraints)
        self.max_seqlen = max(constraint.seqlen for constraint in self.constraints)
        self.n_constraints = len(self.constraints)
        self.init_state()

    def init_state(self) -> None:
        """Nothing is met."""
        self.complete_constraints: list[Constraint] = []
        self.inprogress_constraint: Constraint | None = None
        self.pending_constraints = [constraint.copy(stateful=False) for constraint in self.constraints]
        self.completed = False

    def get_bank(self) -> int:
        """How far the text has got, in tokens; each constraint counts as the longest one."""
        current = self.inprogress_constraint
        part = 0 if current is None else self.max_seqlen - current.remaining()
        return len(self.complete_constraints) * self.max_seqlen + part

    def advance(self) -> list[int] | None:
        """Tokens that would make progress: with the constraint that has begun, or else with any."""
        current = self.inprogress_constraint
        found: list[int] = []
        for constraint in self.pending_constraints if current is None else [current]:
            step = constraint.advance()
            found += step if isinstance(step, list) else [] if step is None else [step]
        return found or None

    def reset(self, token_ids: Sequence[int] | None) -> None:
        """Say how far a text has got that holds these tokens."""
        self.init_state()
        for token in token_ids or ():
            self.add(token)

    def add(self, token_id: int) -> tuple[bool, bool]:
        """Take a token in; whether it completed a constraint, and whether it made progress."""
        if self.completed:
            return True, False
        current = self.inprogress_constraint
        if current is not None:
            stepped, complete, reset = current.update(token_id)
            if not reset:
                return self._moved(current, complete), stepped
            self.inprogress_constraint = None
            self.pending_constraints.append(current.copy(stateful=False))
        for place, constraint in enumerate(self.pending_constraints):
            if constraint.does_advance(token_id):  # also the one that was broken off may begin again
                stepped, complete, _ = constraint.update(token_id)
                del self.pending_constraints[place]
                return self._moved(constraint, complete), stepped
        return False, False

    def _moved(self, constraint: Constraint, complete: bool) -> bool:
        self.inprogress_constraint = None if complete else constraint
        if complete:
            self.complete_constraints.append(constraint)
            self.completed = not self.pending_constraints
        return complete

    def copy(self, stateful: bool = True) -> ConstraintListState:
        """Another such state, with the progress of this one if `stateful`."""
        other = ConstraintListState(self.constraints)
        if stateful:
            current = self.inprogress_constraint
            other.complete_constraints = list(self.complete_constraints)
            other.inprogress_constraint = None if current is None else current.copy(stateful=True)
            other.pending_constraints = [one.copy(stateful=False) for one in self.pending_constraints]
            other.completed = self.completed
        return other


def constraints_of(constraints: Any, force_words_ids: Any) -> list[Constraint]:
    """The constraints that settings ask for.

    Args:
        constraints: a list of them, or None.
        force_words_ids: words, lists of ids; or in place of a word a list of words, of which one must come.

    Raises:
        ValueError: for what is neither.
    """
    found = list(constraints or ())
    require(
        all(isinstance(one, Constraint) for one in found),
        f"constraints holds Constraints, not {constraints!r}",
    )
    if force_words_ids is not None:
        good = isinstance(force_words_ids, list) and all(
            isinstance(one, list) and one for one in force_words_ids
        )
        require(good, f"force_words_ids is a list of words, each a list of ids, not {force_words_ids!r}")
        for word in force_words_ids:
            choice = isinstance(word[0], list)
            found.append(DisjunctiveConstraint(word) if choice else PhrasalConstraint(word))
    require(bool(found), "constraints or force_words_ids must name something that has to come")
    return found


def _words(words: Any, name: str) -> list[list[int]]:
    """Lists of ids, checked."""
    good = isinstance(words, list) and words and all(isinstance(word, list) and word for word in words)
    require(bool(good), f"{name} has to hold ids, in lists that are not empty, not {words!r}")
    return [[whole(token, f"each id of {name}", 0) for token in word] for word in words]
