// SPDX-License-Identifier: ISC
/*
 * Runs a fuzz target over the files named as arguments, once each: for tests, triage and coverage. With
 * --bjt it prints the one input as golden text instead, if the target knows how.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"

#pragma weak fuzz_print_bjt

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

/* 0, or -errno. */
static int with_file(const char *path, int (*run)(const uint8_t *data, size_t size))
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	size_t size;
	int r;

	if (!file) {
		r = -errno;
		perror(path);
		return r;
	}
	data = read_input(file, &size);
	fclose(file);
	r = run(data ? data : (const uint8_t *)"", size);
	free(data);
	return r;
}

/* Nothing at all, or a whole text. */
static int print(const uint8_t *data, size_t size)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int r = -ENOMEM;

	if (out) {
		r = fuzz_print_bjt(data, size, out);
		if (fclose(out) && !r)
			r = -ENOMEM;
		if (!r)
			fwrite(text, 1, len, stdout);
	}
	free(text);
	return r;
}

static int run_once(const uint8_t *data, size_t size)
{
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

static int print_one(int argc, char **argv)
{
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: %s FILE... | --bjt FILE\n", argv[0]);
		return 2;
	}
	if (!fuzz_print_bjt) {
		fprintf(stderr, "%s: its inputs are no traces\n", argv[0]);
		return 1;
	}
	r = with_file(argv[2], print);
	if (r)
		fprintf(stderr, "%s: no trace: %s\n", argv[2], strerror(-r));
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--bjt"))
		return print_one(argc, argv);
	for (int i = 1; i < argc; i++)
		if (with_file(argv[i], run_once))
			return 1;
	printf("%d inputs\n", argc - 1);
	return 0;
}
