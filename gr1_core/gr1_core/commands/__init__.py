"""The commands of `gr1`: one module per command, named as the command (`evaluate_sim` is `gr1 evaluate sim`).

A command module has three names:

    HELP: str                               one line, shown by `gr1 --help` parser() ->
    argparse.ArgumentParser     with prog="gr1 evaluate sim"; also read by the command-line reference
    main(argv: list[str]) -> int            runs the command with the words behind its name; returns the exit
    code

`gr1 --help` imports every command module, so a module imports at its top only what is cheap: the standard
library and `gr1_core.commands.arguments`. numpy, torch, mujoco, rclpy and the like are imported inside
`main`. `parser` imports no rclpy either. `gr1` turns a ValueError or OSError out of `main` into one line on
stderr and exit code 1, and Ctrl-C into exit code 130.

Another package adds a command by an entry point of the group `gr1.commands`. The entry point's name is the
command, with a dot between its words; its value is the module:

    entry_points={"gr1.commands": ["say = my_package.commands.say", "say.hello =
    my_package.commands.say_hello"]}

The package of such modules may have a function `problem() -> str`. `gr1` calls it before any of its commands,
and ends with that text where it is not empty. A module with NEEDS_ROS = False is left out of this.

Such a command is also named in `gr1_core.cli.OF_ROS_PACKAGES`, so that `gr1` can say what to install where it
is missing. A renamed option is refused with its new name: `arguments.refuse_renamed_options`. Modules whose
name begins with an underscore are shared by several commands.
"""
