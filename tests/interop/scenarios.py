"""SIPp scenarios: a carrier that challenges, a caller, and one who gives up."""

SDP = """v=0
o=- 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio %s RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv"""

REPLY = """SIP/2.0 %s
[last_Via:]
[last_From:]
[last_To:]%s
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
%sContent-Length: %s

%s"""


def _reply(status, tag="", headers="", body=""):
    length = "[len]" if body else "0"
    text = REPLY % (status, tag, headers, length, body)
    return f"<![CDATA[\n{text}\n]]>"


def carrier(username, password):
    """A carrier that challenges, verifies the answer, rings, answers, and takes the BYE.

    SIPp verifies `Authorization` only, so it challenges with 401; Kamailio does with 407.
    """
    challenge = (
        'WWW-Authenticate: Digest realm="sip.carrier.test",'
        'nonce="47ebe028cda119c35d4877b383027d28da013815",qop="auth"\n'
    )
    sdp = SDP % "[media_port]"
    answer = _reply("200 OK", ";tag=ok", "Content-Type: application/sdp\n", sdp)
    return f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="carrier">
<recv request="INVITE"/>
<send>{_reply("401 Unauthorized", ";tag=c", challenge)}</send>
<recv request="ACK"/>
<recv request="INVITE"><action>
<ereg regexp=".*" search_in="hdr" header="Authorization:" assign_to="has"/>
<verifyauth assign_to="right" username="{username}" password="{password}"/></action></recv>
<nop hide="true" test="right" next="good"/>
<send next="end">{_reply("403 Forbidden", ";tag=c")}</send>
<label id="good"/>
<send>{_reply("180 Ringing", ";tag=ok")}</send>
<pause milliseconds="200"/>
<send retrans="500">{answer}</send>
<recv request="ACK"/>
<recv request="BYE"/>
<send>{_reply("200 OK")}</send>
<label id="end"/>
<Reference variables="has"/>
</scenario>"""


HEADERS = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=%s
From: <sip:sipp@[remote_ip]>;tag=[pid]-[call_number]
To: <sip:[service]@[remote_ip]>%s
Call-ID: [call_id]
CSeq: %s
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
"""


def _request(method, number, branch="[branch]", dialog=False, body="", retrans=""):
    """A request, within the dialog or outside of one."""
    uri = "[next_url]" if dialog else "sip:[service]@[remote_ip]:[remote_port]"
    routes = "[routes]\n" if dialog else ""
    to = "[peer_tag_param]" if dialog or method == "ACK" else ""
    headers = HEADERS % (branch, to, f"{number} {method}")
    kind = "Content-Type: application/sdp\n" if body else ""
    return (f'<send{retrans}><![CDATA[\n{method} {uri} SIP/2.0\n{routes}{headers}{kind}'
            f'Content-Length: {"[len]" if body else "0"}\n\n{body}\n]]></send>')


RETRANS = ' retrans="500"'
PROGRESS = '<recv response="100" optional="true"/>'


def caller(seconds):
    """Calls, says `prompt.ulaw`, and hangs up after so long."""
    invite = _request("INVITE", 1, body=SDP % "[rtpstream_audio_port]", retrans=RETRANS)
    return f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
{invite}
{PROGRESS}
<recv response="180" optional="true"/>
<recv response="183" optional="true"/>
<recv response="200" rrs="true"/>
{_request("ACK", 1, dialog=True)}
<nop><action><exec rtp_stream="prompt.ulaw,1,0,PCMU/8000"/></action></nop>
<pause milliseconds="{seconds * 1000}"/>
{_request("BYE", 2, dialog=True, retrans=RETRANS)}
<recv response="200"/>
</scenario>"""


# A CANCEL, and the ACK of a refusal, have the branch of their INVITE (RFC 3261 §9.1, §17.1.1.3).
ITS_BRANCH = "z9hG4bK-[pid]-[call_number]"

# Calls, hears it ring, and gives up.
QUITTER = f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="quitter">
{_request("INVITE", 1, ITS_BRANCH, body=SDP % "[media_port]", retrans=RETRANS)}
{PROGRESS}
<recv response="180"/>
<pause milliseconds="500"/>
{_request("CANCEL", 1, ITS_BRANCH, retrans=RETRANS)}
<recv response="200"/>
<recv response="487"/>
{_request("ACK", 1, ITS_BRANCH)}
</scenario>"""
