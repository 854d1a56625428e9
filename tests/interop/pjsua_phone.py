#!/usr/bin/env python3
"""A phone of PJSIP's: it does what its input says, a command a line, and prints what happens.

Commands: `dial URI`, `keys DIGITS` (telephone-events), `info DIGITS` (SIP INFO), `hold`, `resume`,
`transfer URI` (blind), `join` (attended: the first call's other side and the last one's),
`say` (its file, from the start), `hangup`, `quit`. They are about the last call that is not over. It answers whoever calls.
Exit code 0 when calls were answered and all ended well.
"""

import argparse
import os
import select
import signal
import sys
import time

import pjsua2 as pj

parser = argparse.ArgumentParser()
parser.add_argument("--domain", help="registers there")
parser.add_argument("--user", default="alice")
parser.add_argument("--password", default="")
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--rtp", type=int, required=True, help="the first of 20 ports")
parser.add_argument("--transport", choices=["udp", "tcp", "tls"], default="udp")
parser.add_argument("--ca", default="")
parser.add_argument("--cert", default="")
parser.add_argument("--key", default="")
parser.add_argument("--srtp", action="store_true", help="demanded")
parser.add_argument("--play")
parser.add_argument("--record", help="a file for all calls")
parser.add_argument("--log", type=int, default=3)
options = parser.parse_args()
suffix = "" if options.transport == "udp" else f";transport={options.transport}"


def say(*words):
    print(*words, flush=True)


class Call(pj.Call):
    number = 0

    def __init__(self, account, id=pj.PJSUA_INVALID_ID):
        super().__init__(account, id)
        self.name = Call.number
        Call.number += 1
        self.code = None
        self.over = self.answered = False

    def onCallState(self, _):
        info = self.getInfo()
        self.code = info.lastStatusCode
        self.over = info.state == pj.PJSIP_INV_STATE_DISCONNECTED
        self.answered |= info.state == pj.PJSIP_INV_STATE_CONFIRMED
        say("CALL", self.name, info.stateText, info.lastStatusCode)

    def onDtmfDigit(self, key):
        how = "INFO" if key.method == pj.PJSUA_DTMF_METHOD_SIP_INFO else "event"
        say("KEY", key.digit, how)

    def onCallTransferStatus(self, status):
        if status.finalNotify and status.statusCode == 200:
            say("TRANSFERRED")
            # As phones do.
            self.hangup(pj.CallOpParam())

    def onCallMediaState(self, _):
        info = self.getInfo()
        for at, media in enumerate(info.media):
            say("MEDIA", self.name, media.status)
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                sound = self.getAudioMedia(at)
                if player:
                    if not started:
                        started.append(self)
                        player.setPos(0)
                    player.startTransmit(sound)
                if recorder:
                    sound.startTransmit(recorder)


class Account(pj.Account):
    def onRegState(self, state):
        say("REGISTERED" if state.code == 200 else "REFUSED", state.code, state.reason)

    def onIncomingCall(self, incoming):
        call = Call(self, incoming.callId)
        calls.append(call)
        answer = pj.CallOpParam()
        answer.statusCode = 200
        call.answer(answer)


endpoint = pj.Endpoint()
endpoint.libCreate()
config = pj.EpConfig()
config.logConfig.level = config.logConfig.consoleLevel = options.log
# One thread for all: Python's lock and PJSIP's cannot wait for each other.
config.uaConfig.threadCnt = 0
config.uaConfig.mainThreadOnly = True
config.medConfig.noVad = True
config.medConfig.clockRate = 8000
config.medConfig.ecTailLen = 0
endpoint.libInit(config)
transport = pj.TransportConfig()
transport.port = options.port
transport.boundAddress = "127.0.0.1"
if options.transport == "tls":
    transport.tlsConfig.method = pj.PJSIP_TLSV1_2_METHOD
    transport.tlsConfig.verifyServer = bool(options.ca)
    transport.tlsConfig.CaListFile = options.ca
    transport.tlsConfig.certFile = options.cert
    transport.tlsConfig.privKeyFile = options.key
endpoint.transportCreate(
    {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP,
     "tls": pj.PJSIP_TRANSPORT_TLS}[options.transport], transport)
endpoint.audDevManager().setNullDev()
endpoint.libStart()

player = recorder = None
started = []
if options.play:
    player = pj.AudioMediaPlayer()
    player.createPlayer(options.play, pj.PJMEDIA_FILE_NO_LOOP)
if options.record:
    recorder = pj.AudioMediaRecorder()
    recorder.createRecorder(options.record)

settings = pj.AccountConfig()
host = (options.domain or f"127.0.0.1:{options.port}").split(":")[0]
settings.idUri = f"sip:{options.user}@{host}"
if options.domain:
    settings.regConfig.registrarUri = f"sip:{options.domain}{suffix}"
settings.sipConfig.authCreds.append(
    pj.AuthCredInfo("digest", "*", options.user, 0, options.password))
if options.srtp:
    settings.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_MANDATORY
    settings.mediaConfig.srtpSecureSignaling = 0
settings.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
settings.mediaConfig.transportConfig.port = options.rtp
settings.mediaConfig.transportConfig.portRange = 19
calls = []
account = Account()
account.create(settings)
say("READY")


def keys(digits, method):
    param = pj.CallSendDtmfParam()
    param.method = method
    param.digits = digits
    live()[-1].sendDtmf(param)


def live():
    return [call for call in calls if not call.over]


def obey(command, argument=""):
    if command == "dial":
        calls.append(Call(account))
        calls[-1].makeCall(argument + suffix, pj.CallOpParam(True))
    elif command == "keys":
        keys(argument, pj.PJSUA_DTMF_METHOD_RFC2833)
    elif command == "info":
        keys(argument, pj.PJSUA_DTMF_METHOD_SIP_INFO)
    elif command == "hold":
        live()[-1].setHold(pj.CallOpParam())
    elif command == "resume":
        again = pj.CallOpParam(True)
        again.opt.flag = pj.PJSUA_CALL_UNHOLD
        live()[-1].reinvite(again)
    elif command == "transfer":
        live()[-1].xfer(argument, pj.CallOpParam())
    elif command == "join":
        live()[0].xferReplaces(live()[-1], pj.CallOpParam())
    elif command == "say":
        player.setPos(0)
    elif command == "hangup":
        live()[-1].hangup(pj.CallOpParam())
    else:
        return False
    return True


def until(seconds, done=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not done():
        endpoint.libHandleEvents(20)


stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
text = b""
while not stopping:
    endpoint.libHandleEvents(20)
    if select.select([0], [], [], 0)[0]:
        read = os.read(0, 4096)
        text += read
        *lines, text = text.split(b"\n")
        for line in lines:
            try:
                going_on = obey(*line.decode().split(maxsplit=1))
            except (pj.Error, IndexError) as error:
                say("FAILED", line.decode(), getattr(error, "reason", error))
                continue
            if not going_on:
                stopping.append(True)
        if not read:
            break
for call in live():
    call.hangup(pj.CallOpParam())
until(3, lambda: not live())
# What its BYE is answered with, and retransmissions.
until(0.3)
well = [call for call in calls if call.answered and call.code == 200]
say("RESULT", len(well), "of", len(calls), "calls went well")
player = recorder = None
# The file is closed by the next tick of the sound's clock.
until(0.2)
sys.stdout.flush()
os._exit(0 if calls and len(well) == len(calls) else 1)
