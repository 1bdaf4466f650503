"""Instructions: enough per kind, distinguishable by their words; the held-out ones use words of the training
set.
"""

import pytest

from gr1_core.sim.instructions import KINDS, instructions_for

NOUN = {"open": None, "close": None}


def instructions(kind):
    return instructions_for(kind, NOUN.get(kind, "bell pepper"))


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_and_none_is_held_out_and_trained_on(kind):
    training, held_out = instructions(kind)
    assert len(set(training)) >= 10 and len(set(held_out)) >= 4 and not set(training) & set(held_out)
    assert len(training) == len(set(training)) and len(held_out) == len(set(held_out))
    assert all(("bell pepper" in text) == (kind not in NOUN) for text in training + held_out)


def test_no_two_kinds_share_an_instruction_with_the_same_words():
    """In any order: a text encoder that only counts words can tell the kinds apart."""
    kinds = {}
    for kind in KINDS:
        for text in instructions(kind)[0] + instructions(kind)[1]:
            assert kinds.setdefault(tuple(sorted(text.split())), kind) == kind, text


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_instructions_use_words_of_the_training_set(kind):
    known = {word for each in KINDS for text in instructions(each)[0] for word in text.split()}
    for text in instructions(kind)[1]:
        assert len([word for word in text.split() if word not in known]) <= 1, text


@pytest.mark.parametrize("kind", KINDS)
def test_a_held_out_instruction_shares_most_words_with_its_own_kind(kind):
    """The nearest training instruction by words (Jaccard index) is of the same kind."""
    for text in instructions(kind)[1]:
        words = set(text.split())
        near = {
            each: max(
                len(words & set(other.split())) / len(words | set(other.split()))
                for other in instructions(each)[0]
            )
            for each in KINDS
        }
        assert near[kind] == max(near.values()), (text, near)


def test_an_unknown_kind_and_a_wrong_noun_are_refused():
    with pytest.raises(ValueError, match="no instructions for 'throw': kinds are pick, put"):
        instructions_for("throw", "banana")
    with pytest.raises(ValueError, match="'pick' need a noun"):
        instructions_for("pick")
    with pytest.raises(ValueError, match="'open' have no noun, got 'banana'"):
        instructions_for("open", "banana")
