/* The smallest possible unit: records when it started to run, then waits to be ended.
 *
 * child STAMPS NAME [BYTES | ADDRESS PORT]: appends "NAME PID NANOSECONDS" (CLOCK_MONOTONIC) to the
 * file STAMPS. With BYTES it then writes that many to its stdout, in lines of 128, and records the
 * time again. With ADDRESS and PORT it answers every HTTP request with 200 and records the first.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void stamp(const char *file, const char *name) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char line[200];
    int length = snprintf(line, sizeof line, "%s %d %lld\n", name, (int)getpid(),
                          now.tv_sec * 1000000000LL + now.tv_nsec);
    int to = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (to < 0 || write(to, line, length) != length) exit(2);
    close(to);
}

static void fill(long long bytes) {
    static char block[1 << 16];
    memset(block, 'x', sizeof block);
    for (size_t end = 127; end < sizeof block; end += 128) block[end] = '\n';
    while (bytes > 0) {
        ssize_t written = write(1, block, bytes < (long long)sizeof block ? bytes : sizeof block);
        if (written < 0) exit(3);
        bytes -= written;
    }
}

static void serve(const char *address, int port, const char *file, const char *name) {
    static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char request[4096];
    int asked = 0, yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &at.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16)) exit(4);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0) continue;
        if (read(client, request, sizeof request) > 0) {
            if (!asked++) stamp(file, name);
            if (write(client, answer, sizeof answer - 1) > 0) shutdown(client, SHUT_WR);
        }
        close(client);
    }
}

int main(int count, char **words) {
    if (count < 3) return 1;
    stamp(words[1], words[2]);
    if (count > 4) serve(words[3], atoi(words[4]), words[1], words[2]);
    if (count > 3) {
        fill(atoll(words[3]));
        stamp(words[1], words[2]);
    }
    for (;;) pause();
}
