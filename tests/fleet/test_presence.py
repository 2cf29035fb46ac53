"""Which devices are there: one question for all who look, and a limit to the answers."""

import asyncio
import time

from devices import until
from replicas import KEYS, Site

from appliance.fleet.link import Address, Link
from appliance.fleet.presence import MOST_ANSWERS, _answers, _question


def heard(url, subject, act):
    """How many messages of a subject there are while this acts, and in the half second after it."""

    async def listen():
        async with Link.to(Address((url,)), "test") as link, link.hearing(subject) as messages:
            await act(link)
            count = 0
            while await messages.next(0.5):
                count += 1
            return count

    return asyncio.run(listen())


def test_all_who_look_at_a_device_share_one_question(tmp_path, server):
    one, other = (Site(tmp_path, number, server.url) for number in (1, 2))

    async def look(_):
        found.extend([await asyncio.to_thread(one.member.overview, ()) for _ in range(20)])

    found = []
    with one.running():
        with other.running():
            assert until(lambda: len(one.member.overview(()).devices) == 2)
            assert until(lambda: one.member.overview(()).online == {one.device, other.device})
            one.member._presence._asked -= 60
            assert heard(server.url, _question(KEYS.id), look) == 1
            assert found[0].online is None  # what was known a minute ago is not about now
            assert until(lambda: one.member.overview(()).online == {one.device, other.device})
        one.member._presence._asked -= 11
        assert until(lambda: one.member.overview(()).online == {one.device})
    for site in (one, other):
        site.gallery.close()


def test_a_device_answers_a_flood_of_questions_so_often_at_most(tmp_path, server):
    async def flood(link):
        for number in range(3 * MOST_ANSWERS):
            await link.send(_question(KEYS.id), number.to_bytes(2, "big"))

    site = Site(tmp_path, 1, server.url)
    with site.running():
        assert until(lambda: site.member._current())
        begun = time.monotonic()
        assert heard(server.url, _answers(KEYS.id) + site.device, flood) == MOST_ANSWERS
        assert time.monotonic() - begun < 10
    site.gallery.close()
