/* SPDX-License-Identifier: ISC */
/* Hypercalls of the second generation, entry version 4, "kernel" 0.13.2. */
#include "note.inc"
	.section .note.hermit, "a", @note
	.balign	4
	note	HERMIT, 0x5a00, 7, 1, .byte, 4
	note	GNU, 1, 4, 16, .long, 6, 0, 13, 2
	note	UHYVEIF, 0x5b00, 8, 4, .byte, 0, 0, 0, 2	/* big-endian */
	.section .note.GNU-stack, "", @progbits
