"""Sentences: enough of them, told apart by their words, and the held-out ones made of words that training has."""

import pytest

from gr1_core.sim.instructions import KINDS, said

NOUN = {"open": None, "close": None}


def sentences(kind):
    return said(kind, NOUN.get(kind, "bell pepper"))


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_and_none_is_held_out_and_trained_on(kind):
    training, held_out = sentences(kind)
    assert len(set(training)) >= 10 and len(set(held_out)) >= 4 and not set(training) & set(held_out)
    assert len(training) == len(set(training)) and len(held_out) == len(set(held_out))
    assert all(("bell pepper" in sentence) == (kind not in NOUN) for sentence in training + held_out)


def test_no_two_kinds_have_a_sentence_of_the_same_words():
    """In whatever order: a text encoder that only counts words can tell the kinds apart."""
    kinds = {}
    for kind in KINDS:
        for sentence in sentences(kind)[0] + sentences(kind)[1]:
            assert kinds.setdefault(tuple(sorted(sentence.split())), kind) == kind, sentence


@pytest.mark.parametrize("kind", KINDS)
def test_held_out_sentences_are_made_of_words_that_training_has(kind):
    known = {word for each in KINDS for sentence in sentences(each)[0] for word in sentence.split()}
    for sentence in sentences(kind)[1]:
        assert len([word for word in sentence.split() if word not in known]) <= 1, sentence


@pytest.mark.parametrize("kind", KINDS)
def test_a_held_out_sentence_shares_most_words_with_its_own_kind(kind):
    """The nearest training sentence by words (Jaccard) is of the same kind."""
    for sentence in sentences(kind)[1]:
        words = set(sentence.split())
        near = {
            each: max(
                len(words & set(other.split())) / len(words | set(other.split()))
                for other in sentences(each)[0]
            )
            for each in KINDS
        }
        assert near[kind] == max(near.values()), (sentence, near)


def test_the_wrong_question_is_refused():
    with pytest.raises(ValueError, match="no sentences for 'throw': kinds are pick, put"):
        said("throw", "banana")
    with pytest.raises(ValueError, match="'pick' need a noun"):
        said("pick")
    with pytest.raises(ValueError, match="'open' have no noun, got 'banana'"):
        said("open", "banana")
