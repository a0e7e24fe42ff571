// SPDX-License-Identifier: ISC
/* Runs a fuzz target over the files named as arguments, once each: for tests and for coverage. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The exact size, so that a sanitizer sees every byte read past the end. */
static uint8_t *read_input(FILE *file, size_t *size)
{
	uint8_t *data = NULL, *grown;
	uint8_t piece[4096];
	size_t n;

	*size = 0;
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0) {
		grown = realloc(data, *size + n);
		if (!grown)
			break;
		data = grown;
		for (size_t i = 0; i < n; i++)
			data[(*size)++] = piece[i];
	}
	return data;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *file = fopen(argv[i], "rb");
		uint8_t *data;
		size_t size;

		if (!file) {
			perror(argv[i]);
			return 1;
		}
		data = read_input(file, &size);
		fclose(file);
		LLVMFuzzerTestOneInput(data ? data : (const uint8_t *)"", size);
		free(data);
	}
	printf("%d inputs\n", argc - 1);
	return 0;
}
