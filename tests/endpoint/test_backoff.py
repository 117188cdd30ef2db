from random import Random

from twisted.trial.unittest import SynchronousTestCase

from p2panda_tw.endpoint.backoff import Backoff


class Middle(Random):
    """
    No jitter at all.
    """

    def uniform(self, a: float, b: float) -> float:
        """
        The middle.
        """
        return (a + b) / 2


class BackoffTests(SynchronousTestCase):
    """
    Delays between attempts.
    """

    def test_doubles(self) -> None:
        """
        Each failure doubles the delay, up to a minute.
        """
        backoff = Backoff(Middle())
        self.assertEqual([backoff.failed() for _ in range(8)], [1, 2, 4, 8, 16, 32, 60, 60])

    def test_forever(self) -> None:
        """
        A node that stays away for weeks is still tried once a minute.
        """
        backoff = Backoff(Middle(), failures=1_000_000)
        self.assertEqual(backoff.failed(), 60)

    def test_jitter(self) -> None:
        """
        Two nodes that failed together do not come back together.
        """
        delays = [Backoff(Random(seed), failures=3).failed() for seed in range(200)]
        self.assertGreater(len(set(delays)), 190)
        self.assertGreaterEqual(min(delays), 6)
        self.assertLessEqual(max(delays), 10)
        self.assertGreater(max(delays) - min(delays), 3.5)

    def test_success(self) -> None:
        """
        After a success the delays begin anew.
        """
        backoff = Backoff(Middle())
        backoff.failed()
        backoff.failed()
        backoff.succeeded()
        self.assertEqual(backoff.failed(), 1)
