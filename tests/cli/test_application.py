"""
Command lines, as far as they get without a node.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.cli.application import invoke, p2panda
from p2panda_tw.cli.settings import Settings


def run(*arguments: str, input: str = "") -> Result:
    return CliRunner().invoke(p2panda, arguments, input=input)


class HelpTests(SynchronousTestCase):
    """
    C{--help} is the manual.
    """

    def test_subcommands(self) -> None:
        """
        The help lists every subcommand, the one for newcomers first, and the exit codes.
        """
        output = run("--help").output
        names = ["chat", "publish", "tail", "ticket", "topic", "status", "id", "identity", "bench"]
        lines = output[output.index("Commands:") :].splitlines()[1:]
        self.assertEqual([line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "], names)
        self.assertIn("Exit codes", output)

    def test_every_help(self) -> None:
        """
        Every subcommand explains itself and its options, the common ones included.
        """

        def visit(command: click.Command, words: list[str]) -> None:
            result = run(*words, "--help")
            self.assertEqual(result.exit_code, 0, words)
            self.assertTrue(command.help, words)
            if words[:1] == ["bench"]:
                return  # works in directories of its own
            self.assertIn("--data DIR", result.output, words)
            for parameter in command.params:
                if isinstance(parameter, click.Option):
                    self.assertTrue(parameter.help, (words, parameter.name))
            if isinstance(command, click.Group):
                for name, inner in command.commands.items():
                    visit(inner, [*words, name])

        visit(p2panda, [])

    def test_version(self) -> None:
        """
        The version is a line that one can put into a report.
        """
        self.assertRegex(run("--version").output, r"^p2panda_tw \S")

    def test_light(self) -> None:
        """
        Asking for help loads nothing that does the work.
        """
        code = (
            "import sys; from p2panda_tw.cli.application import p2panda; "
            "print([m for m in sys.modules if m.split('.')[0] in ('nacl', 'rich', 'prompt_toolkit', 'sqlite3', 'iroh') "
            "or m in ('twisted.web', 'p2panda_tw.node', 'twisted.internet.reactor')])"
        )
        root = str(Path(__file__).parent.parent.parent)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, *filter(None, sys.path)])}
        self.assertEqual(subprocess.check_output([sys.executable, "-c", code], env=environment).strip(), b"[]")


class UsageTests(SynchronousTestCase):
    """
    Mistakes on the command line.
    """

    def test_unknown_command(self) -> None:
        """
        A mistyped subcommand is a usage error.
        """
        result = run("chta")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("No such command", result.output)

    def test_chat_new_with_ticket(self) -> None:
        """
        A new topic and a ticket for an old one do not go together.
        """
        result = run("chat", "--new", "p2panda1xyz")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("--new begins a topic of its own", result.output)

    def test_forget_asks(self) -> None:
        """
        Nothing is deleted before the question was answered with yes.
        """
        result = run("topic", "forget", "work", input="n\n")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("Delete everything", result.output)

    def test_configuration_mistake(self) -> None:
        """
        A wrong setting ends every command with one sentence that names the key, and exit code 2.
        """
        path = Path(self.mktemp())
        path.write_text('durabilty = "fast"\n')
        error = path.with_suffix(".err")
        with error.open("w") as stream:
            saved, sys.stderr = sys.stderr, stream
            try:
                code = invoke(["id", "--config", str(path)])
            finally:
                sys.stderr = saved
        self.assertEqual(code, 2)
        (line,) = error.read_text().splitlines()
        self.assertIn("durabilty", line)
        self.assertIn("durability", line)


class SettingsTests(SynchronousTestCase):
    """
    The common options.
    """

    def parse(self, *arguments: str) -> Settings:
        """
        @return: What the leaf command, which takes an argument and does nothing, finds.
        """
        settings = Settings()
        with p2panda.make_context("p2panda", list(arguments), obj=settings) as context:
            command: click.Command = p2panda
            while isinstance(command, click.Group):
                name, command_found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
                assert name is not None and command_found is not None
                command = command_found
                context = command.make_context(name, rest, parent=context)
        return settings

    def test_before_and_after(self) -> None:
        """
        `--data` may stand before the subcommand, after it, or in the middle.
        """
        for arguments in (
            ("--data", "here", "topic", "list"),
            ("topic", "--data", "here", "list"),
            ("topic", "list", "--data", "here"),
        ):
            self.assertEqual(self.parse(*arguments), Settings(data=Path("here")), arguments)

    def test_last_one_counts(self) -> None:
        """
        Where an option is given twice, the one nearer to the end counts.
        """
        self.assertEqual(
            self.parse("--data", "a", "--debug", "id", "--data", "b", "--config", "c"),
            Settings(data=Path("b"), config=Path("c"), debug=True),
        )
