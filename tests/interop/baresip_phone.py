#!/usr/bin/env python3
"""A phone of today's baresip: it does what its input says, a command a line, and prints what happens.

Debian's baresip knows neither SHA-256, so that it cannot register, nor attended transfers; this one
(PyPI's baresip-python) does.

Commands: `dial URI`, `answer`, `keys DIGITS`, `hold`, `resume`, `transfer URI` (blind), `join`
(attended: the first call's other side and the last one's), `hangup`, `quit`. They are about the last
call that is not over. Exit code 0 when all calls were answered.
"""

import argparse
import asyncio
import logging
import signal
import sys

import baresip
from baresip import CallState, Event

parser = argparse.ArgumentParser()
parser.add_argument("--domain", help="registers there")
parser.add_argument("--user", required=True)
parser.add_argument("--password", default="")
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--rtp", type=int, required=True, help="the first of 20 ports")
parser.add_argument("--transport", choices=["udp", "tcp", "tls"], default="udp")
parser.add_argument("--ca")
parser.add_argument("--srtp", action="store_true", help="demanded")
parser.add_argument("--ring", action="store_true", help="answers only when it is told")
parser.add_argument("--play", required=True)
parser.add_argument("--record", required=True)
options = parser.parse_args()
suffix = "" if options.transport == "udp" else f";transport={options.transport}"


def say(*words):
    print(*words, flush=True)


class Phone:
    def __init__(self):
        self.calls = []

    async def open(self):
        self.runtime = baresip.Runtime()
        await self.runtime.start(baresip.Config(
            net_interface="127.0.0.1", audio_source=f"aufile,{options.play}",
            audio_player=f"aufile,{options.record}", native_log_level="warning",
            extra_config_text=f"sip_listen 127.0.0.1:{options.port}\n"
                              f"rtp_ports {options.rtp}-{options.rtp + 19}\n"
                              + (f"sip_cafile {options.ca}\n" if options.ca else "")))
        self.agent = await baresip.UserAgent.create(self.runtime, baresip.Account(
            options.user, options.domain or f"127.0.0.1:{options.port}", options.password,
            reg_interval=60 if options.domain else 0, transport=options.transport,
            extra_params=("mediaenc=srtp-mand",) if options.srtp else ()))
        self.agent.on_incoming(self.incoming)
        say("READY")
        if options.domain:
            try:
                await self.agent.register()
                say("REGISTERED")
            except baresip.RegistrationError as error:
                say("REFUSED", error)

    def add(self, call):
        name = len(self.calls)
        call.was_established = False
        self.calls.append(call)

        def told(event):
            if event.event is Event.CALL_ESTABLISHED:
                call.was_established = True
            state = {Event.CALL_ESTABLISHED: "CONFIRMED", Event.CALL_CLOSED: "DISCONNECTED"}.get(
                event.event, event.event.name)
            if event.event not in (Event.CALL_RTCP, Event.VU_RX, Event.VU_TX):
                say("CALL", name, state, event.text or "")
        call.on(told)
        call.on_dtmf(lambda key: say("KEY", key))

    def incoming(self, call):
        self.add(call)
        say("CALL", len(self.calls) - 1, "INCOMING", call.peer)
        if not options.ring:
            self.start(call.answer())

    def start(self, coroutine, done=""):
        async def reported():
            try:
                await coroutine
                say(done)
            except baresip.BaresipError as error:
                say("FAILED", error)
        asyncio.create_task(reported())

    def live(self):
        return [call for call in self.calls if call.state is not CallState.CLOSED]

    async def obey(self, command, argument=""):
        if command == "dial":
            self.add(await self.agent.dial(argument + suffix))
        elif command == "answer":
            await self.live()[-1].answer()
        elif command == "keys":
            await self.live()[-1].send_dtmf(argument)
        elif command == "hold":
            await self.live()[-1].hold()
        elif command == "resume":
            await self.live()[-1].resume()
        elif command == "transfer":
            self.start(self.live()[-1].transfer(argument), "TRANSFERRED")
        elif command == "join":
            self.start(self.live()[0].attended_transfer(self.live()[-1]), "TRANSFERRED")
        elif command == "hangup":
            await self.live()[-1].hangup()
        else:
            return False
        return True

    async def serve(self):
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        loop.add_signal_handler(signal.SIGTERM, lines.feed_data, b"quit\n")
        while line := (await lines.readline()).decode().strip():
            try:
                if not await self.obey(*line.split(maxsplit=1)):
                    break
            except (baresip.BaresipError, IndexError) as error:
                say("FAILED", line, error)
        for call in self.live():
            await call.hangup()
        # What its BYE is answered with.
        await asyncio.sleep(0.3)
        await self.runtime.close()
        well = [call for call in self.calls if call.was_established]
        say("RESULT", len(well), "of", len(self.calls), "calls were answered")
        return 0 if len(well) == len(self.calls) else 1


async def main():
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stdout)
    phone = Phone()
    await phone.open()
    return await phone.serve()


sys.exit(asyncio.run(main()))
