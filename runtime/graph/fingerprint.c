#include <link.h>
#include <string.h>

#include "runtime/base/str.h"
#include "runtime/graph/compiled_form.h"

/* What to look for among the loaded objects: the one this code lies in. */
struct search {
    uintptr_t code;
    struct us_str *out;
    bool found;
};

static bool holds(const struct dl_phdr_info *object, uintptr_t address) {
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && address >= start && address - start < part->p_memsz) {
            return true;
        }
    }
    return false;
}

static size_t padded(size_t size) {
    return (size + 3) & ~(size_t)3;
}

static bool append_build_id(const uint8_t *notes, size_t size, struct us_str *out) {
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, notes, sizeof note);
        size_t name = padded(note.n_namesz), length = sizeof note + name + padded(note.n_descsz);
        if (length > size) {
            return false;
        }
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz &&
            memcmp(notes + sizeof note, "GNU", 4) == 0) {
            us_str_append_bytes(out, notes + sizeof note + name, note.n_descsz);
            return true;
        }
        notes += length;
        size -= length;
    }
    return false;
}

static int look_at(struct dl_phdr_info *object, size_t size, void *context) {
    struct search *search = context;
    (void)size;
    if (!holds(object, search->code)) {
        return 0;
    }
    for (size_t i = 0; i < object->dlpi_phnum && !search->found; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_NOTE) {
            const uint8_t *notes = (const uint8_t *)(object->dlpi_addr + part->p_vaddr); // NOLINT
            search->found = append_build_id(notes, part->p_memsz, search->out);
        }
    }
    return 1;
}

static void append_text(struct us_str *out, const char *text) {
    us_str_append_bytes(out, text ? text : "\1", text ? strlen(text) + 1 : 2);
}

static void append_ports(struct us_str *out, const struct us_port *ports) {
    for (size_t i = 0; ports && ports[i].name; i++) {
        uint32_t facts[] = {ports[i].data, ports[i].optional, ports[i].list};
        append_text(out, ports[i].name);
        us_str_append_bytes(out, facts, sizeof facts);
    }
    append_text(out, NULL);
}

static void append_params(struct us_str *out, const struct us_param *params) {
    for (size_t i = 0; params && params[i].name; i++) {
        const struct us_param *p = &params[i];
        uint64_t facts[] = {p->type, p->offset, p->required};
        double numbers[] = {p->number, p->min, p->max};
        append_text(out, p->name);
        us_str_append_bytes(out, facts, sizeof facts);
        us_str_append_bytes(out, numbers, sizeof numbers);
        append_text(out, p->text);
        for (const char *const *choice = p->choices; choice && *choice; choice++) {
            append_text(out, *choice);
        }
        append_text(out, NULL);
    }
    append_text(out, NULL);
}

bool us_compiled_fingerprint(const struct us_registry *registry, struct us_digest *fingerprint) {
    struct us_str out = {0};
    struct search search = {.code = (uintptr_t)us_compiled_fingerprint, .out = &out};
    dl_iterate_phdr(look_at, &search);
    for (size_t i = 0; i < registry->count; i++) {
        const struct us_node_type *type = registry->types[i];
        uint64_t facts[] = {type->version, type->params_size, type->per_frame};
        append_text(&out, type->name);
        us_str_append_bytes(&out, facts, sizeof facts);
        append_ports(&out, type->inputs);
        append_ports(&out, type->outputs);
        append_params(&out, type->params);
    }
    *fingerprint = us_digest_of(us_str_text(&out), out.length);
    us_str_finish(&out);
    return search.found;
}
