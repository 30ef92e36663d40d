/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.c - run a fuzz target on files, without libFuzzer.
 *
 *     build/asan/tests/fuzz/TARGET FILE|FOLDER...
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned int files;

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0;

	if (!file) {
		perror(path);
		return 1;
	}
	/* Exactly as large as the input, so that ASan sees a read beyond. */
	fseek(file, 0, SEEK_END);
	data = malloc((size_t)ftell(file));
	rewind(file);
	while (data) {
		int byte = fgetc(file);

		if (byte == EOF)
			break;
		data[size++] = (uint8_t)byte;
	}
	fclose(file);
	printf("%s\n", path);
	fflush(stdout); /* the last one named is the one that crashed */
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	files++;
	return 0;
}

static int run_folder(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort), bad = 0;

	if (count < 0) {
		perror(path);
		return 1;
	}
	for (int i = 0; i < count; i++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			bad |= run_file(name);
		free(entries[i]);
	}
	free(entries);
	return bad;
}

int main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++) {
		struct stat st;

		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			bad |= run_folder(argv[i]);
		else
			bad |= run_file(argv[i]);
	}
	printf("%u inputs\n", files);
	return bad || !files;
}
