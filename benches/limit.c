/* What the machine itself costs: the least program that reads the pipes of jobs and writes the records that we write.
 *
 *     limit json|default LOG JOBS PROGRAM [ARGUMENT...]
 *
 * Runs PROGRAM so many times, as j0, j1, ..., until it is killed; LOG gets what they write to stdout. It supervises nothing, knows one length
 * of lines (64 KiB at most) and takes every byte for valid UTF-8. benches/logs.rs compiles and runs it beside us.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 65536, BLOCK = 32, JOBS = 256 };

static struct job { int pid, pipe, kept; char name[16], keep[PIECE]; } jobs[JOBS];
static char piece[2 * PIECE], records[PIECE * 8];
static size_t gathered;
static int as_json, log_file;

static void flush(void) {
  for (size_t done = 0; done < gathered;) {
    ssize_t more = write(log_file, records + done, gathered - done);
    if (more <= 0) _exit(1);
    done += more;
  }
  gathered = 0;
}

/* Whether a block needs no escape; a loop without branches, which compilers make vectors of. */
static int is_plain(const unsigned char *block) {
  unsigned char special = 0;
  for (int at = 0; at < BLOCK; at++) special |= (block[at] < ' ') | (block[at] == '"') | (block[at] == '\\');
  return !special;
}

static char *escaped(char *out, const char *line, size_t length) {
  for (size_t at = 0; at < length;) {
    if (length - at >= BLOCK && is_plain((const unsigned char *)line + at)) {
      memcpy(out, line + at, BLOCK);
      out += BLOCK;
      at += BLOCK;
      continue;
    }
    for (size_t end = length - at < BLOCK ? length : at + BLOCK; at < end; at++) {
      unsigned char byte = line[at];
      if (byte < ' ') {
        out += sprintf(out, "\\u%04x", byte);
      } else {
        if (byte == '"' || byte == '\\') *out++ = '\\';
        *out++ = byte;
      }
    }
  }
  return out;
}

static void drain(struct job *job) {
  memcpy(piece, job->keep, job->kept);
  ssize_t count = read(job->pipe, piece + job->kept, PIECE);
  if (count <= 0) return;
  char stamp[64], head[128], tail[128];
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  size_t length = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
  sprintf(stamp + length, ".%09ldZ", now.tv_nsec);
  size_t head_length = as_json ? sprintf(head, "{\"job\":\"%s\",\"level\":\"info\",\"msg\":\"", job->name)
                               : sprintf(head, "%s %s %d ", stamp, job->name, job->pid);
  size_t tail_length = as_json ? sprintf(tail, "\",\"pid\":%d,\"stream\":\"stdout\",\"time\":\"%s\"}\n", job->pid, stamp)
                               : sprintf(tail, "\n");
  char *line = piece, *end = piece + job->kept + count, *newline;
  while ((newline = memchr(line, '\n', end - line))) {
    length = newline - line;
    if (gathered + length * 6 + 256 > sizeof records) flush();
    char *out = records + gathered;
    memcpy(out, head, head_length);
    out += head_length;
    if (as_json) {
      out = escaped(out, line, length);
    } else {
      memcpy(out, line, length);
      out += length;
    }
    memcpy(out, tail, tail_length);
    gathered = out + tail_length - records;
    if (gathered > PIECE) flush();
    line = newline + 1;
  }
  job->kept = end - line;
  memcpy(job->keep, line, job->kept);
  flush();
}

int main(int count, char **words) {
  int running = count > 4 ? atoi(words[3]) : 0;
  if (running < 1 || running > JOBS) return 2;
  as_json = !strcmp(words[1], "json");
  log_file = open(words[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  int poll = epoll_create1(EPOLL_CLOEXEC);
  for (int number = 0; number < running; number++) {
    struct job *job = &jobs[number];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return 1;
    sprintf(job->name, "j%d", number);
    job->pipe = ends[0];
    job->pid = vfork();
    if (!job->pid) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(ends[1], 1);
      execv(words[4], words + 4);
      _exit(127);
    }
    close(ends[1]);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = job};
    epoll_ctl(poll, EPOLL_CTL_ADD, job->pipe, &event);
  }
  for (;;) {
    struct epoll_event ready[64];
    int found = epoll_wait(poll, ready, 64, -1);
    for (int at = 0; at < found; at++) drain(ready[at].data.ptr);
  }
}
