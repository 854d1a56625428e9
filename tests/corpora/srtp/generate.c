/* Prints packets as libsrtp 2 protects them: what our own SRTP must make and understand.
 *
 *   cc generate.c -lsrtp2 -o generate && ./generate > libsrtp.txt    (Debian: libsrtp2-dev)
 *
 * A line `suite NAME KEY+SALT` begins a stream; `rtp CLEAR PROTECTED` and `rtcp CLEAR PROTECTED`
 * follow in the order of sending. RTP crosses a rollover; SRTCP indices begin at 1.
 */
#include <srtp2/srtp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hex(const unsigned char *bytes, int length)
{
    for (int i = 0; i < length; i++)
        printf("%02x", bytes[i]);
}

static void check(srtp_err_status_t status, const char *what)
{
    if (status != srtp_err_status_ok) {
        fprintf(stderr, "%s: error %d\n", what, status);
        exit(1);
    }
}

static int rtp(unsigned char *packet, unsigned sequence)
{
    int length = 12, kind = sequence % 4;
    static const unsigned char extension[] = {0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0};
    memset(packet, 0, 256);
    packet[0] = 0x80;
    packet[1] = sequence % 3 ? 0 : 0x88;
    packet[2] = sequence >> 8;
    packet[3] = sequence;
    memcpy(packet + 4, "\x01\x02\x03", 3);
    packet[7] = sequence;
    memcpy(packet + 8, "\xde\xad\xbe\xef", 4);
    if (kind & 1) { /* two contributing sources */
        packet[0] |= 2;
        memcpy(packet + length, "CSRCcsrc", 8);
        length += 8;
    }
    if (kind & 2) {
        packet[0] |= 0x10;
        memcpy(packet + length, extension, sizeof extension);
        length += sizeof extension;
    }
    for (int i = 0; i < 21 + kind; i++)
        packet[length++] = (unsigned char)(sequence * 7 + i);
    return length;
}

static int rtcp(unsigned char *packet, unsigned number)
{
    static const unsigned char receiver[] = {0x80, 201, 0, 1, 0xde, 0xad, 0xbe, 0xef};
    static const unsigned char goodbye[] = {0x81, 203, 0, 1, 0xde, 0xad, 0xbe, 0xef};
    memset(packet, 0, 256);
    memcpy(packet, receiver, sizeof receiver);
    memcpy(packet + sizeof receiver, goodbye, sizeof goodbye);
    return number % 2 ? sizeof receiver : sizeof receiver + sizeof goodbye;
}

static void stream(const char *name, int key_bytes, int salt_bytes,
                   void (*for_rtp)(srtp_crypto_policy_t *),
                   void (*for_rtcp)(srtp_crypto_policy_t *))
{
    static const unsigned first[] = {65533, 65534, 65535, 0, 1, 2};
    unsigned char key[46], packet[256];
    srtp_policy_t policy;
    srtp_t session;
    for (int i = 0; i < 46; i++)
        key[i] = (unsigned char)(i * 5 + 3);
    memset(&policy, 0, sizeof policy);
    for_rtp(&policy.rtp);
    for_rtcp(&policy.rtcp);
    policy.ssrc.type = ssrc_any_outbound;
    policy.key = key;
    policy.window_size = 128;
    check(srtp_create(&session, &policy), name);
    printf("suite %s ", name);
    hex(key, key_bytes + salt_bytes);
    printf("\n");
    for (unsigned i = 0; i < sizeof first / sizeof *first; i++) {
        int length = rtp(packet, first[i]);
        printf("rtp ");
        hex(packet, length);
        check(srtp_protect(session, packet, &length), "srtp_protect");
        printf(" ");
        hex(packet, length);
        printf("\n");
    }
    for (unsigned i = 0; i < 3; i++) {
        int length = rtcp(packet, i);
        printf("rtcp ");
        hex(packet, length);
        check(srtp_protect_rtcp(session, packet, &length), "srtp_protect_rtcp");
        printf(" ");
        hex(packet, length);
        printf("\n");
    }
    srtp_dealloc(session);
}

int main(void)
{
    check(srtp_init(), "srtp_init");
    stream("AES_CM_128_HMAC_SHA1_80", 16, 14, srtp_crypto_policy_set_rtp_default,
           srtp_crypto_policy_set_rtp_default);
    stream("AES_CM_128_HMAC_SHA1_32", 16, 14, srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32,
           srtp_crypto_policy_set_rtp_default);
    stream("AES_256_CM_HMAC_SHA1_80", 32, 14, srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80,
           srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80);
    stream("AES_256_CM_HMAC_SHA1_32", 32, 14, srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32,
           srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80);
    stream("AEAD_AES_128_GCM", 16, 12, srtp_crypto_policy_set_aes_gcm_128_16_auth,
           srtp_crypto_policy_set_aes_gcm_128_16_auth);
    stream("AEAD_AES_256_GCM", 32, 12, srtp_crypto_policy_set_aes_gcm_256_16_auth,
           srtp_crypto_policy_set_aes_gcm_256_16_auth);
    return 0;
}
