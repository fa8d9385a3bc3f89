// The little of a C library that the contract needs, so that nothing but a compiler must be installed and nothing of an operating
// system is imported.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 65536
#define SMALLEST 16
// Sizes of blocks: 16 bytes, 32, 64, and so on up to 2 GiB.
#define CLASSES 28

// The end of the static data, set by the linker.
extern uint8_t __heap_base;

// Stands before each block and keeps its class. 16 bytes, so that blocks are aligned for everything.
typedef union {
  struct {
    uint32_t class;
    void *next;
  } free;
  uint8_t room[16];
} header;

static header *free_blocks[CLASSES];
static uintptr_t top;

// A free block of the class, or a new one at the top of the memory. Blocks are never joined: what a detector asks for comes in the
// same sizes again and again.
void *malloc(size_t size) {
  uint32_t class = 0;
  while (class < CLASSES && ((size_t)SMALLEST << class) < size) class++;
  if (class == CLASSES) return NULL;
  header *block = free_blocks[class];
  if (block != NULL) {
    free_blocks[class] = block->free.next;
    return block + 1;
  }
  if (top == 0) top = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
  uintptr_t bytes = ((uintptr_t)SMALLEST << class) + sizeof(header);
  uintptr_t end = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
  if (bytes > UINTPTR_MAX - top) return NULL;
  if (top + bytes > end && __builtin_wasm_memory_grow(0, (top + bytes - end + PAGE - 1) / PAGE) == (size_t)-1) return NULL;
  block = (header *)top;
  top += bytes;
  block->free.class = class;
  return block + 1;
}

void *calloc(size_t count, size_t size) {
  if (size != 0 && count > SIZE_MAX / size) return NULL;
  void *block = malloc(count * size);
  return block == NULL ? NULL : memset(block, 0, count * size);
}

void *realloc(void *block, size_t size) {
  if (block == NULL) return malloc(size);
  size_t room = (size_t)SMALLEST << ((header *)block - 1)->free.class;
  if (size <= room) return block;
  void *larger = malloc(size);
  if (larger == NULL) return NULL;
  memcpy(larger, block, room);
  free(block);
  return larger;
}

void free(void *block) {
  if (block == NULL) return;
  header *it = (header *)block - 1;
  it->free.next = free_blocks[it->free.class];
  free_blocks[it->free.class] = it;
}

_Noreturn void abort(void) { __builtin_trap(); }

// With -mbulk-memory these are instructions of WebAssembly, not calls of themselves.
void *memcpy(void *to, const void *from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *to, int byte, size_t size) { return __builtin_memset(to, byte, size); }

int memcmp(const void *a, const void *b, size_t size) {
  const uint8_t *x = a, *y = b;
  for (size_t n = 0; n < size; n++) {
    if (x[n] != y[n]) return x[n] < y[n] ? -1 : 1;
  }
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}
