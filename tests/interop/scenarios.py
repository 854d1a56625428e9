"""SIPp scenarios: a caller that answers a digest challenge and speaks, and a carrier that asks."""

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

HEAD = """Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:alice@[remote_ip]>;tag=[pid]-[call_number]
To: <sip:[service]@[remote_ip]>%s
Call-ID: [call_id]
CSeq: %d %s
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
"""


def _invite(cseq, authorization):
    head = HEAD % ("", cseq, "INVITE")
    sdp = SDP % "[rtpstream_audio_port]"
    return f"""<send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{head}{authorization}Content-Type: application/sdp
Content-Length: [len]

{sdp}
]]></send>
"""


def _in_dialog(method, cseq):
    head = HEAD % ("[peer_tag_param]", cseq, method)
    retrans = ' retrans="500"' if method == "BYE" else ""
    return f"""<send{retrans}><![CDATA[
{method} [next_url] SIP/2.0
[routes]
{head}Content-Length: 0

]]></send>
"""


def caller(milliseconds):
    """An INVITE that is challenged with 401, answered by digest; sound; BYE."""
    refused = HEAD % ("[peer_tag_param]", 1, "ACK")
    return f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller with digest">
{_invite(1, "")}<recv response="100" optional="true"/>
<recv response="401" auth="true"/>
<send><![CDATA[
ACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0
{refused}Content-Length: 0

]]></send>
{_invite(2, "[authentication]" + chr(10))}<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="183" optional="true"/>
<recv response="200" rrs="true"/>
{_in_dialog("ACK", 2)}<nop><action><exec rtp_stream="prompt.ulaw,1,0,PCMU/8000"/></action></nop>
<pause milliseconds="{milliseconds}"/>
{_in_dialog("BYE", 3)}<recv response="200"/>
</scenario>"""


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
    """A carrier that challenges with 407, verifies the answer, rings, answers, takes BYE."""
    challenge = (
        'Proxy-Authenticate: Digest realm="sip.carrier.test",'
        'nonce="47ebe028cda119c35d4877b383027d28da013815",qop="auth"\n'
    )
    sdp = SDP % "[media_port]"
    answer = _reply("200 OK", ";tag=ok", "Content-Type: application/sdp\n", sdp)
    return f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="carrier">
<recv request="INVITE"/>
<send>{_reply("407 Proxy Authentication Required", ";tag=c", challenge)}</send>
<recv request="ACK"/>
<recv request="INVITE"><action>
<ereg regexp=".*" search_in="hdr" header="Proxy-Authorization:" assign_to="has"/>
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
