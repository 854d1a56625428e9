"""SIPp scenarios: a carrier that challenges."""

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
