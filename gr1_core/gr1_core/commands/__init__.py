"""The commands of `gr1`: each module adds its own to the parser, and imports what it needs only when the command runs."""

from gr1_core.commands import bags, collect, convert, data, evaluate, official, policy, record, replay, train

ALL = (bags, collect, convert, data, evaluate, official, policy, record, replay, train)
