/* The floor under a switch: receives each RTP packet and sends it back, and nothing else. One
 * socket a call, one thread, epoll. Its cost is what the system calls of a call cost; what a switch
 * costs above it is its own doing. Run by `offhook bench switch`.
 *
 *   floor FIRST_PORT SOCKETS     binds 127.0.0.1:FIRST_PORT, +2, +4, … and echoes until it is killed
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "floor FIRST_PORT SOCKETS\n");
        return 2;
    }
    int first = atoi(argv[1]), sockets = atoi(argv[2]);
    int epoll = epoll_create1(0);
    for (int i = 0; i < sockets; i++) {
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(first + 2 * i)};
        inet_pton(AF_INET, "127.0.0.1", &here.sin_addr);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) < 0) {
            perror("bind");
            return 1;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[1024];
        int found = epoll_wait(epoll, events, 1024, -1);
        for (int i = 0; i < found; i++) {
            char packet[2048];
            struct sockaddr_in from;
            socklen_t size = sizeof from;
            int fd = events[i].data.fd;
            ssize_t length = recvfrom(fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &size);
            if (length > 0)
                sendto(fd, packet, length, 0, (struct sockaddr *)&from, size);
        }
    }
}
