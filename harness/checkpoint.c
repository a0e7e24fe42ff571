// SPDX-License-Identifier: ISC
/* Checkpoints of a machine, kept in order and thinned. Knows no calls and does not run anything. */
#include "checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "vm.h"

enum { ROOM_FIRST = 16 };

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int place_compare_run(const struct place *a, const struct place *b)
{
	int order = compare(a->calls, b->calls);

	if (!order)
		order = compare(a->at, b->at);
	if (!order)
		order = compare(a->stage, b->stage);
	return order ? order : compare(a->happened, b->happened);
}

int place_compare(const struct place *a, const struct place *b)
{
	int order = place_compare_run(a, b);

	return order ? order : compare(a->edits, b->edits);
}

int checkpoint_list_init(struct checkpoint_list *list, struct vm *vm, size_t max_bytes, size_t max)
{
	if (!backend_frozen_size(vm->cpu))
		return -EOPNOTSUPP;
	*list = (struct checkpoint_list){ .vm = vm, .max_bytes = max_bytes, .max = max };
	return 0;
}

void checkpoint_free(struct checkpoint_list *list, struct checkpoint *c)
{
	if (!c)
		return;
	image_drop(c->image);
	free(c->frozen);
	free(c);
	list->cost.bytes -= sizeof(*c) + backend_frozen_size(list->vm->cpu);
}

void checkpoint_list_finish(struct checkpoint_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		checkpoint_free(list, list->items[i]);
	image_drop(list->like);
	free(list->items);
	*list = (struct checkpoint_list){ 0 };
}

static void now_like(struct checkpoint_list *list, struct image *image)
{
	image_hold(image);
	image_drop(list->like);
	list->like = image;
}

/* ---- which to keep ---- */

static uint64_t distance(const struct place *a, const struct place *b)
{
	uint64_t calls = a->calls > b->calls ? a->calls - b->calls : b->calls - a->calls;
	uint64_t insns = a->at > b->at ? a->at - b->at : b->at - a->at;

	return insns < UINT64_MAX - calls ? insns + calls : calls;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* How little would be missed: the less room there is around it, for how far it is from where it may
 * be wanted. */
static double surplus(const struct checkpoint_list *list, size_t i)
{
	const struct place *p = &list->items[i]->place;
	uint64_t next = distance(
		&list->items[i - 1]->place, i + 1 < list->n ? &list->items[i + 1]->place : p);

	return ((double)least(distance(p, &list->focus[0]), distance(p, &list->focus[1])) + 1) /
	       ((double)next + 1);
}

static void remove_at(struct checkpoint_list *list, size_t i)
{
	checkpoint_free(list, list->items[i]);
	list->n--;
	memmove(list->items + i, list->items + i + 1, (list->n - i) * sizeof(*list->items));
}

/* The start, the middle, edits and what was just taken stay. */
static void thin(struct checkpoint_list *list, const struct place *here)
{
	while (list->n > list->max || list->cost.bytes > list->max_bytes) {
		size_t victim = 0;
		double most = 0;

		for (size_t i = 1; i < list->n; i++) {
			const struct checkpoint *c = list->items[i];
			double s;

			if (c->edit || !place_compare(&c->place, here) ||
				!place_compare(&c->place, &list->middle))
				continue;
			s = surplus(list, i);
			if (s > most) {
				most = s;
				victim = i;
			}
		}
		if (!victim)
			return;
		remove_at(list, victim);
	}
}

/* ---- taken and put back ---- */

struct checkpoint *checkpoint_new(struct checkpoint_list *list, const struct place *here)
{
	struct vm *vm = list->vm;
	struct checkpoint *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	list->cost.bytes += sizeof(*c) + backend_frozen_size(vm->cpu);
	c->place = *here;
	c->n_calls = vm->n_calls;
	c->call_state = vm->call_state;
	c->call = vm->call;
	c->exit = vm->exit;
	c->stop = vm->stop;
	c->frozen = malloc(backend_frozen_size(vm->cpu));
	c->image = c->frozen ? image_take(&vm->mem, list->like, &list->cost) : NULL;
	if (c->image && !backend_freeze(vm->cpu, c->frozen))
		return c;
	checkpoint_free(list, c);
	return NULL;
}

/* The first that is not before the place. */
static size_t find(const struct checkpoint_list *list, const struct place *place,
	int (*order)(const struct place *a, const struct place *b))
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (order(&list->items[middle]->place, place) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool make_room(struct checkpoint_list *list)
{
	size_t room = list->room ? 2 * list->room : ROOM_FIRST;
	struct checkpoint **more;

	if (list->n < list->room)
		return true;
	more = realloc(list->items, room * sizeof(*more));
	if (!more)
		return false;
	list->items = more;
	list->room = room;
	return true;
}

int checkpoint_take(struct checkpoint_list *list, const struct place *here, bool edit)
{
	size_t i = find(list, here, place_compare);
	struct checkpoint *c;

	if (!make_room(list))
		return -ENOMEM;
	c = checkpoint_new(list, here);
	if (!c)
		return -ENOMEM;
	c->edit = edit;
	if (i < list->n && !place_compare(&list->items[i]->place, here)) {
		c->edit |= list->items[i]->edit;
		checkpoint_free(list, list->items[i]);
	} else {
		memmove(list->items + i + 1, list->items + i, (list->n - i) * sizeof(*list->items));
		list->n++;
	}
	list->items[i] = c;
	now_like(list, c->image);
	thin(list, here);
	return 0;
}

int checkpoint_restore(struct checkpoint_list *list, const struct checkpoint *c)
{
	struct vm *vm = list->vm;

	image_put(c->image, &vm->mem, vm->cpu);
	now_like(list, c->image);
	vm->n_calls = c->n_calls;
	vm->call_state = c->call_state;
	vm->call = c->call;
	vm->exit = c->exit;
	vm->stop = c->stop;
	return backend_thaw(vm->cpu, c->frozen);
}

/* ---- found ---- */

const struct checkpoint *checkpoint_at(
	const struct checkpoint_list *list, const struct place *place)
{
	size_t i = find(list, place, place_compare);

	if (i < list->n && !place_compare(&list->items[i]->place, place))
		return list->items[i];
	return i ? list->items[i - 1] : NULL;
}

const struct checkpoint *checkpoint_before(
	const struct checkpoint_list *list, const struct place *place)
{
	size_t i = find(list, place, place_compare_run);

	return i ? list->items[i - 1] : NULL;
}

const struct checkpoint *checkpoint_next_edit(
	const struct checkpoint_list *list, const struct place *place)
{
	size_t i = find(list, place, place_compare);

	for (; i < list->n; i++)
		if (list->items[i]->edit && list->items[i]->place.edits > place->edits)
			return list->items[i];
	return NULL;
}

void checkpoint_cut(struct checkpoint_list *list, const struct place *place)
{
	while (list->n > 1 && place_compare(&list->items[list->n - 1]->place, place) > 0)
		remove_at(list, list->n - 1);
}

void checkpoint_cut_before(struct checkpoint_list *list, const struct place *place)
{
	size_t n = find(list, place, place_compare);

	for (size_t i = 0; i < n; i++)
		checkpoint_free(list, list->items[i]);
	list->n -= n;
	memmove(list->items, list->items + n, list->n * sizeof(*list->items));
}
