#include <stdio.h>

#include "tools/command.h"
#include "tools/devices.h"
#include "tools/json_line.h"
#include "tools/machine.h"

int us_command_devices(const struct us_arguments *arguments) {
    struct us_machine machine;
    us_machine_read(&machine);
    if (arguments->json) {
        json_t *line = us_json_begin("device");
        us_json_text(line, "name", "cpu");
        us_json_text(line, "model", machine.model);
        us_json_int(line, "cores", machine.cores);
        us_json_text(line, "features", machine.features);
        us_json_int(line, "memory", (int64_t)machine.memory);
        us_json_end(line);
        us_devices_list(true);
        return 0;
    }
    printf("cpu   %s, %d core%s, %.1f GiB (%.1f free)\n", machine.model, machine.cores,
           machine.cores == 1 ? "" : "s", (double)machine.memory / 0x1p30,
           (double)machine.memory_free / 0x1p30);
    if (machine.features[0]) {
        printf("      %s\n", machine.features);
    }
    us_devices_list(false);
    return 0;
}

int us_command_version(const struct us_arguments *arguments) {
    (void)arguments;
    puts("understudy " UNDERSTUDY_VERSION);
    return 0;
}
