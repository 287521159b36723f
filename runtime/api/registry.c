#include "runtime/api/registry.h"

#include <string.h>

const struct us_node_type *us_registry_find(const struct us_registry *registry, const char *name) {
    for (size_t i = 0; i < registry->count; i++) {
        if (strcmp(registry->types[i]->name, name) == 0) {
            return registry->types[i];
        }
    }
    return NULL;
}

int us_port_find(const struct us_port *ports, const char *name) {
    for (int i = 0; ports && ports[i].name; i++) {
        if (strcmp(ports[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

int us_port_count(const struct us_port *ports) {
    int count = 0;
    while (ports && ports[count].name) {
        count++;
    }
    return count;
}
