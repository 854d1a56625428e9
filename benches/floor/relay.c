/* The floor under a relay: each RTP packet that comes in at one side of a call goes out at the other
 * side's socket, as it is, to where the other side last sent from. Two sockets a call, one thread,
 * epoll. Run by `offhook bench switch --relay`.
 *
 *   relay FIRST_PORT CALLS   binds 127.0.0.1:FIRST_PORT, +2, +4, …, two ports a call
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct side {
    int fd;
    struct sockaddr_in peer;
};

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "relay FIRST_PORT CALLS\n");
        return 2;
    }
    int first = atoi(argv[1]), sides = 2 * atoi(argv[2]);
    struct side *all = calloc(sides, sizeof *all);
    int epoll = epoll_create1(0);
    for (int i = 0; i < sides; i++) {
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(first + 2 * i)};
        inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
        all[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (all[i].fd < 0 || bind(all[i].fd, (struct sockaddr *)&here, sizeof here) < 0) {
            perror("bind");
            return 1;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[1024];
        int found = epoll_wait(epoll, events, 1024, -1);
        for (int i = 0; i < found; i++) {
            char packet[2048];
            struct side *here = &all[events[i].data.u32], *there = &all[events[i].data.u32 ^ 1];
            socklen_t size = sizeof here->peer;
            ssize_t length =
                recvfrom(here->fd, packet, sizeof packet, 0, (struct sockaddr *)&here->peer, &size);
            if (length > 0 && there->peer.sin_port)
                sendto(there->fd, packet, length, 0, (struct sockaddr *)&there->peer,
                       sizeof there->peer);
        }
    }
}
