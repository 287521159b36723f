#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("understudy " UNDERSTUDY_VERSION);
        return 0;
    }
    fputs("usage: understudy --version\n", argc == 1 ? stdout : stderr);
    return argc == 1 ? 0 : 2;
}
