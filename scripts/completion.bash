# SPDX-License-Identifier: ISC
# Completion of belljar for bash: verbs, then the verb's own options as its --help lists them.
_belljar() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb=("${COMP_WORDS[1]}")
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "run debug record replay golden trace resolve inspect doctor --help --version" -- "$cur")
	elif [ "$COMP_CWORD" = 2 ] && [ "$prev" = golden ]; then
		mapfile -t COMPREPLY < <(compgen -W "check review accept new" -- "$cur")
	elif [ "$COMP_CWORD" = 2 ] && [ "$prev" = trace ]; then
		mapfile -t COMPREPLY < <(compgen -W "show stat diff export grep html minimize recover" -- "$cur")
	elif [ "$prev" = --format ]; then
		mapfile -t COMPREPLY < <(compgen -W "jsonl chrome bjt pcapng" -- "$cur")
	elif [ "$prev" = --backend ] || [ "$prev" = -b ]; then
		mapfile -t COMPREPLY < <(compgen -W "auto kvm tcg" -- "$cur")
	elif [ "$prev" = --resolver ]; then
		mapfile -t COMPREPLY < <(compgen -W "auto openat2 walk" -- "$cur")
	elif [ "$prev" = --guest-paths ]; then
		mapfile -t COMPREPLY < <(compgen -W "bytes utf8" -- "$cur")
	elif [[ $cur == -* ]]; then
		[ "${COMP_WORDS[1]}" = trace ] && verb=("${COMP_WORDS[@]:1:2}")
		mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" "${verb[@]}" --help 2>/dev/null |
			grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+')" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _belljar belljar
