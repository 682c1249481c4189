/* The smallest unit there can be: notes when it began to run, then waits to be ended.
 *
 * child STAMPS NAME [BYTES]: appends "NAME PID NANOSECONDS" (CLOCK_MONOTONIC) to the file STAMPS.
 * With BYTES it then writes so many to its stdout, in lines of 128, and notes the time again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int main(int count, char **words) {
    if (count < 3) return 1;
    stamp(words[1], words[2]);
    if (count > 3) {
        fill(atoll(words[3]));
        stamp(words[1], words[2]);
    }
    for (;;) pause();
}
