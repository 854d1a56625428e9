/* Counts what a program allocates, and writes the count to the file ALLOCATIONS when it ends: for
   `offhook bench sip`, which loads it before the C library (LD_PRELOAD). */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static unsigned long count;

static void one(void) { __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED); }

void *malloc(size_t size) { one(); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { one(); return __libc_calloc(number, size); }
void *realloc(void *at, size_t size) { one(); return __libc_realloc(at, size); }
void *memalign(size_t alignment, size_t size) { one(); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void **at, size_t alignment, size_t size)
{
    *at = memalign(alignment, size);
    return *at ? 0 : 12;
}

__attribute__((destructor)) static void write_it(void)
{
    unsigned long counted = __atomic_load_n(&count, __ATOMIC_RELAXED);
    const char *name = getenv("ALLOCATIONS");
    FILE *file = name ? fopen(name, "w") : NULL;
    if (!file)
        return;
    fprintf(file, "%lu\n", counted);
    fclose(file);
}
