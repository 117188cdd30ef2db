import os
from pathlib import Path

import platformdirs
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from p2panda_tw.config import (
    HOME_VARIABLE,
    Config,
    IrohConfig,
    ListenAddress,
    PeerConfig,
    RelayConfig,
    TlsConfig,
    TopicConfig,
)
from p2panda_tw.core.identity import SigningKey
from p2panda_tw.core.topic import Form, Topic
from p2panda_tw.endpoint.addresses import RelayAddress, TlsAddress
from p2panda_tw.endpoint.network import DEFAULT_NETWORK_ID, network_id_of
from p2panda_tw.endpoint.ticket import Ticket
from p2panda_tw.errors import ConfigurationError

TICKET = Ticket(node_id=SigningKey(bytes(32)).verifying_key, addresses=[TlsAddress("192.0.2.1", 4242)])
SAMPLE = Path(__file__).parent.parent / "tap" / "p2panda.toml"

KEYS = {
    *("data_directory", "network_id", "durability", "enabled", "listen", "advertise", "relays"),
    *("id", "name", "form", "ticket"),
}

WHOLE = f"""
data_directory = "inner"
network_id = "p2panda"
durability = "fast"
[tls]
enabled = false
listen = ["0.0.0.0:4242", "[::]:0"]
advertise = "node.example.org:4242"
[iroh]
enabled = true
listen = "127.0.0.1:0"
relays = ["https://relay.example/", {{ url = "http://127.0.0.1:3340", token = "t0ken" }}]
[[topic]]
id = "{"07" * 32}"
name = "neighbours"
[[topic]]
id = "{"08" * 32}"
form = "chat"
[[peer]]
ticket = '''
{TICKET}
'''
"""


class ConfigCase(SynchronousTestCase):
    """
    Settings in a directory of their own.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def write(self, text: str, name: str = "p2panda.toml") -> Path:
        """
        Write a configuration file.
        """
        file = self.directory / name
        file.write_text(text, "utf-8")
        return file

    def load(self, text: str) -> Config:
        """
        Read a configuration as the file of the data directory.
        """
        self.write(text)
        return Config.load(data_directory=self.directory, environ={})

    def message(self, text: str) -> str:
        """
        Read a wrong configuration.
        """
        error = self.assertRaises(ConfigurationError, self.load, text)
        self.assertIn(str(self.directory / "p2panda.toml"), str(error))
        return str(error)


class ReadTests(ConfigCase):
    """
    Settings that are right.
    """

    def test_whole(self) -> None:
        """
        Every setting arrives where it belongs.
        """
        file = self.write(WHOLE, "mine.toml")
        self.assertEqual(
            Config.load(file, self.directory, {}),
            Config(
                data_directory=self.directory,
                network_id=DEFAULT_NETWORK_ID,
                network_name="p2panda",
                durability="fast",
                tls=TlsConfig(
                    enabled=False,
                    listen=(ListenAddress("0.0.0.0", 4242), ListenAddress("::", 0)),
                    advertise=(TlsAddress("node.example.org", 4242),),
                ),
                iroh=IrohConfig(
                    enabled=True,
                    listen=(ListenAddress("127.0.0.1", 0),),
                    relays=(
                        RelayConfig(address=RelayAddress("https://relay.example/")),
                        RelayConfig(address=RelayAddress("http://127.0.0.1:3340"), token="t0ken"),
                    ),
                ),
                topics=(
                    TopicConfig(id=Topic(b"\x07" * 32), name="neighbours"),
                    TopicConfig(id=Topic(b"\x08" * 32), form=Form.CHAT),
                ),
                peers=(PeerConfig(ticket=TICKET),),
            ),
        )

    def test_nothing(self) -> None:
        """
        Without any file, and with an empty one, everything has its default.
        """
        expected = Config(data_directory=self.directory)
        self.assertEqual(Config.load(data_directory=self.directory, environ={}), expected)
        self.assertEqual(self.load(""), expected)
        self.assertEqual(expected.describe_network(), "the default network")

    def sample(self) -> Path:
        """
        The sample configuration, which a checkout has and an installed package has not.
        """
        if not SAMPLE.exists():
            raise SkipTest("the sample configuration is in the checkout only")
        return SAMPLE

    def test_sample(self) -> None:
        """
        The sample configuration can be used as it is.
        """
        config = Config.load(self.sample(), self.directory, {})
        self.assertEqual(config, Config(data_directory=self.directory))

    def test_sample_uncommented(self) -> None:
        """
        Each example in the sample configuration is right as soon as its values are.
        """
        examples = [line.removeprefix("# ") for line in self.sample().read_text("utf-8").splitlines()]
        text = "\n".join(
            line
            for line in examples
            if line.startswith(("[", "]", "    "))
            or (line.split(" = ")[0] in KEYS and not line.startswith('listen = "'))
        )
        text = text.replace("64 hex digits", "07" * 32).replace("p2panda1...", str(TICKET))
        config = self.load(text.replace("network_id", "# network_id"))
        self.assertEqual(len(config.tls.listen) + len(config.iroh.listen) + len(config.iroh.relays), 6)
        self.assertEqual((len(config.topics), len(config.peers)), (1, 1))

    def test_network(self) -> None:
        """
        A network is given by its id, or by a name that is hashed; the node can say which.
        """
        by_id = self.load(f'network_id = "{"aB" * 32}"')
        self.assertEqual((by_id.network_id, by_id.network_name), (b"\xab" * 32, None))
        self.assertEqual(by_id.describe_network(), f"the network with id {'ab' * 32}")
        by_name = self.load('network_id = "my village"')
        self.assertEqual((by_name.network_id, by_name.network_name), (network_id_of("my village"), "my village"))
        self.assertIn("'my village'", by_name.describe_network())

    def test_secrets(self) -> None:
        """
        A log line with the settings in it tells neither topics nor tokens.
        """
        shown = repr(self.load(WHOLE))
        for secret in ["t0ken", "07" * 8, str(TICKET)]:
            self.assertNotIn(secret, shown)


class DirectoryTests(ConfigCase):
    """
    Which data directory, and which file.
    """

    def test_order(self) -> None:
        """
        --data goes before the file that was named, that before P2PANDA_HOME, that before the user's data directory.
        """
        file = self.write('data_directory = "/from/file"', "mine.toml")
        bare = self.write("", "bare.toml")
        environ = {"P2PANDA_HOME": "/from/environment"}
        self.assertEqual(Config.load(file, "/from/data", environ).data_directory, Path("/from/data"))
        self.assertEqual(Config.load(file, None, environ).data_directory, Path("/from/file"))
        self.assertEqual(Config.load(bare, None, environ).data_directory, Path("/from/environment"))
        self.assertEqual(Config.load(environ=environ).data_directory, Path("/from/environment"))
        user = Path(platformdirs.user_data_path("p2panda_tw", appauthor=False))
        self.assertEqual(Config.load(bare, None, {}).data_directory, user)
        self.assertEqual(Config.load(bare, None, {"P2PANDA_HOME": ""}).data_directory, user)

    def test_file_in_directory(self) -> None:
        """
        p2panda.toml in the data directory is read without being named.
        """
        self.write('durability = "fast"')
        self.assertEqual(Config.load(environ={"P2PANDA_HOME": str(self.directory)}).durability, "fast")

    def test_relative(self) -> None:
        """
        A relative path counts from the current directory, in a file from where the file lies; ~ is the home directory.
        """
        self.assertEqual(Config.load(data_directory="somewhere", environ={}).data_directory, Path.cwd() / "somewhere")
        file = self.write('data_directory = "inner"', "mine.toml")
        self.assertEqual(Config.load(file, None, {}).data_directory, self.directory / "inner")
        file = self.write('data_directory = "~/inner"', "mine.toml")
        self.assertEqual(Config.load(file, None, {}).data_directory, Path.home() / "inner")

    def test_elsewhere(self) -> None:
        """
        The file in a data directory cannot point at another one; it says how to do that.
        """
        self.assertEqual(self.load(f'data_directory = "{self.directory}"').data_directory, self.directory)
        self.write('data_directory = "/elsewhere"')
        error = self.assertRaises(ConfigurationError, Config.load, environ={"P2PANDA_HOME": str(self.directory)})
        self.assertIn("data_directory", str(error))
        self.assertIn("--data", str(error))


class WrongTests(ConfigCase):
    """
    Settings that are wrong end in a sentence that names the key and says what would be right.
    """

    def test_unknown_key(self) -> None:
        """
        A misspelt key is named with the right one.
        """
        for text, wrong, right in [
            ('durabilty = "full"', "durabilty", "durability"),
            ("[tsl]", "tsl", "tls"),
            ('[tls]\nlisten_on = "0.0.0.0:1"', "tls.listen_on", "tls.listen"),
            ("[iroh]\nrelay = []", "iroh.relay", "iroh.relays"),
            (f'[[topic]]\nid = "{"07" * 32}"\nnmae = "x"', "topic[1].nmae", "topic[1].name"),
            (f'[[peer]]\nticket = "{TICKET}"\nTickets = "x"', "peer[1].Tickets", "peer[1].ticket"),
        ]:
            self.assertIn(f"there is no key {wrong}. Did you mean {right}?", self.message(text))
        self.assertIn("Known are enabled, listen, advertise.", self.message("[tls]\nxyzzy = 1"))

    def test_wrong_value(self) -> None:
        """
        A wrong value is named with what would be right.
        """
        topic = f'[[topic]]\nid = "{"07" * 32}"\n'
        for text, key, right in [
            ("data_directory = 1", "data_directory", "text in quotation marks"),
            ('data_directory = ""', "data_directory", "path of a directory"),
            ('data_directory = "~nobody-of-this-name/x"', "data_directory", "home directory of nobody"),
            ('durability = "slow"', "durability", 'must be "full" or "fast"'),
            ("network_id = 5", "network_id", "text in quotation marks"),
            ('network_id = ""', "network_id", "64 hex digits or a name"),
            (f'network_id = "{"a" * 63}"', "network_id", "has 63 of them"),
            ("tls = 5", "tls", "must be a table"),
            ("[[tls]]", "tls", "must be a table"),
            ("[tls]\nenabled = 1", "tls.enabled", "true or false"),
            ("[tls]\nlisten = 4242", "tls.listen", "text in quotation marks"),
            ('[tls]\nlisten = "4242"', "tls.listen", '"0.0.0.0:4242"'),
            ('[tls]\nlisten = "localhost:4242"', "tls.listen", '"0.0.0.0:4242"'),
            ('[tls]\nlisten = ["0.0.0.0:70000"]', "tls.listen", '"0.0.0.0:4242"'),
            ('[tls]\nadvertise = "example.org"', "tls.advertise", '"example.org:4242"'),
            ('[tls]\nadvertise = "example.org:0"', "tls.advertise", "1 to 65535"),
            ('[iroh]\nenabled = "auto"', "iroh.enabled", "true or false"),
            ('[iroh]\nlisten = ["0.0.0.0:1", "0.0.0.0:2"]', "iroh.listen", "one IPv4 and one IPv6"),
            ('[iroh]\nrelays = "https://relay.example/"', "iroh.relays", "must be a list"),
            ('[iroh]\nrelays = ["relay.example"]', "iroh.relays", "https://"),
            ("[iroh]\nrelays = [5]", "iroh.relays", "URLs"),
            ('[iroh]\nrelays = [{ token = "x" }]', "iroh.relays", "URLs"),
            ('[iroh]\nrelays = [{ url = "https://a/", key = "x" }]', "iroh.relays", "URLs"),
            ('[iroh]\nrelays = [{ url = "https://a/", token = "x\\ny" }]', "iroh.relays", "token"),
            ("[topic]\nid = 5", "topic", "double brackets"),
            ("[[topic]]", "topic[1].id", "is missing"),
            ('[[topic]]\nid = "07"', "topic[1].id", "64 hex digits"),
            ("[[topic]]\nid = 5", "topic[1].id", "64 hex digits"),
            (topic + "name = 5", "topic[1].name", "text in quotation marks"),
            (topic + f'name = "{"x" * 200}"', "topic[1].name", "at most 100 characters"),
            (topic + 'name = "a\\nb"', "topic[1].name", "one line"),
            (topic + 'form = "chats"', "topic[1].form", '"node" or "chat"'),
            (topic + topic, "[[topic]] number 2", "same id"),
            (
                topic + f'name = "a"\n[[topic]]\nid = "{"01" * 32}"\n[[topic]]\nid = "{"02" * 32}"\nname = "a"',
                "[[topic]] number 3",
                "same name",
            ),
            ("[[peer]]", "peer[1].ticket", "is missing"),
            ('[[peer]]\nticket = "x"', "peer[1].ticket", "a ticket starts with p2panda1"),
            (f'[[peer]]\nticket = "{str(TICKET)[:-5]}"', "peer[1].ticket", "incomplete"),
            (f'network_id = "village"\n[[peer]]\nticket = "{TICKET}"', "peer[1].ticket", "another network"),
        ]:
            with self.subTest(text=text):
                message = self.message(text)
                self.assertIn(f": {key} ", message)
                self.assertIn(right, message)
                self.assertTrue(message.endswith("."), message)

    def test_secrets(self) -> None:
        """
        A sentence about a wrong topic or ticket does not repeat it.
        """
        self.assertNotIn("0707", self.message(f'[[topic]]\nid = "{"07" * 31}"'))
        self.assertNotIn(str(TICKET)[8:40], self.message(f'[[peer]]\nticket = "{str(TICKET)[:-5]}"'))

    def test_unknown_home(self) -> None:
        """
        The home directory of somebody who is not known is told in a sentence, wherever it is named.
        """
        for arguments in (
            {"path": "~nobody-of-this-name/p2panda.toml"},
            {"data_directory": "~nobody-of-this-name"},
            {"environ": {HOME_VARIABLE: "~nobody-of-this-name"}},
        ):
            error = self.assertRaises(ConfigurationError, Config.load, **arguments)
            self.assertIn("~nobody-of-this-name", str(error))

    def test_not_toml(self) -> None:
        """
        A file that is no TOML is named with the line.
        """
        self.assertIn("at line 2", self.message('durability = "full"\n[tls\n'))
        self.assertIn("not valid TOML", self.message("a = " + "[" * 100_000))

    def test_not_text(self) -> None:
        """
        A file that is no text, or huge, is refused.
        """
        file = self.directory / "p2panda.toml"
        for data, expected in [(b"\xff\xfe", "UTF-8"), (b"#" * 2_000_000, "1 MiB")]:
            file.write_bytes(data)
            error = self.assertRaises(ConfigurationError, Config.load, data_directory=self.directory, environ={})
            self.assertIn(expected, str(error))

    def test_unreadable(self) -> None:
        """
        A file that was named must be there.
        """
        missing = self.directory / "missing.toml"
        error = self.assertRaises(ConfigurationError, Config.load, missing, self.directory, {})
        self.assertEqual(str(error), f"The configuration {missing} cannot be read: {os.strerror(2)}.")
        self.assertRaises(ConfigurationError, Config.load, self.directory, self.directory, {})

    def test_made_by_hand(self) -> None:
        """
        An application that makes the settings itself hears of impossible ones, too.
        """
        self.assertRaises(ConfigurationError, Config, data_directory=self.directory, network_id=b"short")
        self.assertRaises(ConfigurationError, Config, data_directory=self.directory, durability="slow")
