/* SPDX-License-Identifier: ISC */
/*
 * No UHYVEIF: hypercalls of the first generation. No GNU note: taken for a kernel before 0.10, for
 * which the whole GiB around it is mapped.
 */
#include "note.inc"
	.section .note.hermit, "a", @note
	.balign	4
	note	HERMIT, 0x5a00, 7, 1, .byte, 4
	.section .note.GNU-stack, "", @progbits
