// SPDX-License-Identifier: ISC
/*
 * corrupt: a guest with a bug, to be found with a debugger. A name that is too long for its place is copied over the
 * pointer behind it; the guest dies much later, of the pointer, and there is nothing left to see of the name.
 */
#include "rt.h"

struct city {
	const char *name;
	unsigned people; /* thousands */
};

struct person {
	char name[8];
	const struct city *born_in;
};

static const struct city vienna = { "Vienna", 2028 }, salzburg = { "Salzburg", 157 };
static struct person people[] = { { "", &vienna }, { "", &salzburg }, { "", &vienna } };

__attribute__((noinline)) static void set_name(struct person *p, const char *name)
{
	char *to = p->name;

	while (*name)
		*to++ = *name++; /* the bug: nobody looks how long it is */
	*to = 0;
}

/* Work of some length between cause and effect. */
__attribute__((noinline)) static unsigned ponder(unsigned n)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum = sum * 31 + i;
	return sum;
}

__attribute__((noinline)) static void introduce(const struct person *p)
{
	const struct city *city = p->born_in;

	printf("%s comes from %s, among %u thousand\n", p->name, city->name, city->people);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	set_name(&people[0], "Franz");
	set_name(&people[1], "Wolfgang Amadeus");
	set_name(&people[2], "Gustav");
	printf("pondered: %u\n", ponder(20000));
	for (size_t i = 0; i < sizeof(people) / sizeof(people[0]); i++)
		introduce(&people[i]);
	return 0;
}
