-- SPDX-License-Identifier: ISC
-- Wireshark dissector for belljar's recordings: hypercalls by name, with fields to filter by. Learns the
-- calls' names and fields from the recording itself.
--
--     tshark -X lua_script:bjt.lua -r run.pcapng -Y 'bjt.call == "write" && bjt.ret > 0'
--
-- For Wireshark itself, put it into ~/.local/lib/wireshark/plugins/.

local bjt = Proto("bjt", "belljar hypercall")

local f = {
	record = ProtoField.string("bjt.record", "Record"),
	n = ProtoField.uint64("bjt.n", "Number"),
	call = ProtoField.string("bjt.call", "Call"),
	nr = ProtoField.uint32("bjt.nr", "Port", base.HEX),
	ret = ProtoField.int64("bjt.ret", "Result"),
	errno = ProtoField.string("bjt.errno", "Error"),
	path = ProtoField.string("bjt.path", "Path"),
	ip = ProtoField.uint64("bjt.ip", "RIP", base.HEX),
	dur = ProtoField.uint64("bjt.dur", "Duration (ns)"),
	["in"] = ProtoField.bytes("bjt.in", "Guest to host"),
	out = ProtoField.bytes("bjt.out", "Host to guest"),
	fault = ProtoField.bool("bjt.fault", "Outside guest memory"),
	fin = ProtoField.bool("bjt.fin", "The machine stopped in it"),
	more = ProtoField.bool("bjt.more", "More follows"),
	args = ProtoField.none("bjt.args", "Arguments"),
	other = ProtoField.uint64("bjt.arg.other", "Argument"),
	-- what a debugger wrote
	edit = ProtoField.string("bjt.edit", "A debugger wrote"),
	gpa = ProtoField.uint64("bjt.gpa", "Guest-physical address", base.HEX),
	at = ProtoField.uint64("bjt.at", "Instructions since the last call"),
	ex = ProtoField.uint64("bjt.ex", "Exceptions since the last instruction"),
	-- header
	version = ProtoField.uint32("bjt.version", "Format version"),
	abi = ProtoField.string("bjt.abi", "Guest ABI"),
	gen = ProtoField.uint32("bjt.gen", "ABI generation"),
	mem = ProtoField.uint64("bjt.mem", "Guest memory (bytes)"),
	clk = ProtoField.uint64("bjt.clk", "Guest clock at start (ns)"),
	cwd = ProtoField.string("bjt.cwd", "Working directory"),
	argv = ProtoField.string("bjt.argv", "Argument"),
	karg = ProtoField.string("bjt.karg", "Kernel argument"),
	env = ProtoField.string("bjt.env", "Environment"),
	mnt = ProtoField.string("bjt.mnt", "Mount"),
	cpu = ProtoField.string("bjt.cpu", "Recorded on"),
	prog = ProtoField.string("bjt.prog", "Recorded by"),
	seed = ProtoField.uint64("bjt.seed", "Seed"),
	guest = ProtoField.bytes("bjt.guest", "SHA-256 of the guest"),
	-- tree, contents
	hash = ProtoField.bytes("bjt.hash", "SHA-256"),
	mode = ProtoField.uint32("bjt.mode", "Mode", base.OCT),
	size = ProtoField.uint64("bjt.size", "Size"),
	same = ProtoField.uint64("bjt.same", "Another name of tree entry"),
	xdev = ProtoField.bool("bjt.xdev", "Another mount"),
	mount = ProtoField.uint32("bjt.mount", "Mount"),
	target = ProtoField.string("bjt.target", "Link to"),
	data = ProtoField.bytes("bjt.data", "Contents"),
	-- end
	calls = ProtoField.uint64("bjt.end", "Calls"),
	stop = ProtoField.string("bjt.stop", "Stopped"),
	code = ProtoField.int64("bjt.code", "Exit code"),
	text = ProtoField.string("bjt.text", "Said"),
}

-- Fields can only be made before a file is opened: those of the ABIs of today. Others are bjt.arg.other.
local args = {}
local function make_args(names, make, format)
	for name in names:gmatch("%a+") do args[name] = make("bjt.arg." .. name, name, format) end
end
make_args("fd code offset", ProtoField.int64, base.DEC)
make_args("byte kind len maxlen whence", ProtoField.uint64, base.DEC)
make_args("attr argv buf envp name sizes", ProtoField.uint64, base.HEX)
make_args("flags mode", ProtoField.uint64, base.OCT)
local is_signed = { fd = true, code = true, offset = true }

local fields = {}
for _, field in pairs(f) do table.insert(fields, field) end
for _, field in pairs(args) do table.insert(fields, field) end
bjt.fields = fields

local broken = ProtoExpert.new("bjt.broken", "Not what a recording holds", expert.group.MALFORMED, expert.severity.ERROR)
local failed = ProtoExpert.new("bjt.failed", "The call failed", expert.group.RESPONSE_CODE, expert.severity.NOTE)
bjt.experts = { broken, failed }

local errnos = {}
for name in ([[
PERM NOENT SRCH INTR IO NXIO 2BIG NOEXEC BADF CHILD AGAIN NOMEM ACCES FAULT NOTBLK BUSY EXIST XDEV NODEV
NOTDIR ISDIR INVAL NFILE MFILE NOTTY TXTBSY FBIG NOSPC SPIPE ROFS MLINK PIPE DOM RANGE DEADLK NAMETOOLONG
NOLCK NOSYS NOTEMPTY LOOP - NOMSG IDRM CHRNG L2NSYNC L3HLT L3RST LNRNG UNATCH NOCSI L2HLT BADE BADR XFULL
NOANO BADRQC BADSLT - BFONT NOSTR NODATA TIME NOSR NONET NOPKG REMOTE NOLINK ADV SRMNT COMM PROTO MULTIHOP
DOTDOT BADMSG OVERFLOW NOTUNIQ BADFD REMCHG LIBACC LIBBAD LIBSCN LIBMAX LIBEXEC ILSEQ RESTART STRPIPE USERS
NOTSOCK DESTADDRREQ MSGSIZE PROTOTYPE NOPROTOOPT PROTONOSUPPORT SOCKTNOSUPPORT OPNOTSUPP PFNOSUPPORT
AFNOSUPPORT ADDRINUSE ADDRNOTAVAIL NETDOWN NETUNREACH NETRESET CONNABORTED CONNRESET NOBUFS ISCONN NOTCONN
SHUTDOWN TOOMANYREFS TIMEDOUT CONNREFUSED HOSTDOWN HOSTUNREACH ALREADY INPROGRESS STALE UCLEAN NOTNAM NAVAIL
ISNAM REMOTEIO DQUOT NOMEDIUM MEDIUMTYPE CANCELED NOKEY KEYEXPIRED KEYREVOKED KEYREJECTED OWNERDEAD
NOTRECOVERABLE RFKILL -
]]):gmatch("%S+") do table.insert(errnos, name ~= "-" and "E" .. name) end

local stops = { "exited", "crashed", "debug", "interrupted", "failed" }
local kinds = { [0] = "removed", "file", "directory", "link", "fifo", "socket", "device" }

-- CBOR ---------------------------------------------------------------------------------------------
-- An item: kind, from, to (offsets of the first byte and behind the last), and value (number, or UInt64 and
-- Int64 beyond 2^53), start (of a string's bytes), or list (an array's items; a map's keys and values by
-- turns). nil for what is broken.

local DEPTH_MAX = 8
local exact = 2 ^ 53

local function head_value(s, at, info)
	if info < 24 then return info, at end
	local n = ({ [24] = 1, [25] = 2, [26] = 4, [27] = 8 })[info]
	if not n or at + n > #s then return nil end
	local hi, lo = 0, 0
	for i = 1, n do
		local byte = s:byte(at + i)
		if n == 8 and i <= 4 then hi = hi * 256 + byte else lo = lo * 256 + byte end
	end
	return hi * 2 ^ 32 + lo, at + n, hi, lo
end

local item

local function items(s, at, n, depth)
	local list = {}
	for i = 1, n do
		local one = item(s, at, depth + 1)
		if not one then return nil end
		list[i] = one
		at = one.to
	end
	return list, at
end

function item(s, at, depth)
	local byte = s:byte(at + 1)
	if not byte or depth > DEPTH_MAX then return nil end
	local major, info = math.floor(byte / 32), byte % 32
	local it = { from = at }
	local value, next_at, hi, lo = head_value(s, at + 1, info)
	if not value then return nil end
	it.to = next_at
	if major == 0 then
		it.kind = "number"
		it.value = value < exact and value or UInt64.new(lo, hi)
	elseif major == 1 then
		it.kind = "number"
		it.value = value < exact and -1 - value or Int64.new(0xffffffff - lo, 0xffffffff - hi)
	elseif major == 2 or major == 3 then
		it.kind = major == 2 and "bytes" or "text"
		if value > #s - next_at then return nil end
		it.start, it.to = next_at, next_at + value
	elseif major == 4 or major == 5 then
		it.kind = major == 4 and "array" or "map"
		if value > #s then return nil end
		it.list, it.to = items(s, next_at, major == 4 and value or 2 * value, depth)
		if not it.list then return nil end
	elseif major == 6 then
		return item(s, next_at, depth + 1)
	else
		it.kind = "simple"
		it.value = info == 21
	end
	return it
end

-- The payload as a table from keys to items, or nil.
local function decode(s)
	local it = item(s, 0, 0)
	if not it or it.kind ~= "map" then return nil end
	local map = {}
	for i = 1, #it.list, 2 do
		local key = it.list[i]
		if key.kind == "text" then map[s:sub(key.start + 1, key.to)] = it.list[i + 1] end
	end
	return map
end

-- Any bytes as printable ASCII, as golden text has them.
local letters = { ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\\"] = "\\\\", ['"'] = '\\"' }

local function escaped(s, it)
	return (s:sub(it.start + 1, it.to):gsub('[\0-\31"\\\127-\255]', function(c)
		return letters[c] or string.format("\\x%02x", c:byte())
	end))
end

-- Showing ------------------------------------------------------------------------------------------

local state

function bjt.init()
	state = { calls = {}, begun = {} }
end

local function u64(value)
	if type(value) == "number" then return UInt64.new(value % 2 ^ 32, math.floor(value / 2 ^ 32)) end
	return value
end

local function i64(value)
	if type(value) ~= "number" then return value end
	local n = math.abs(value)
	local made = Int64.new(n % 2 ^ 32, math.floor(n / 2 ^ 32))
	return value < 0 and -made or made
end

-- A descriptor, sign-extended to 64 bits, as it was meant.
local function signed(value)
	return type(value) == "number" and value or Int64.new(value:lower(), value:higher())
end

-- One record while it is shown.
local function show(r, key, field, kind, value)
	local it = r.map[key]
	if not it or it.kind ~= kind then return nil end
	local range = r.tvb(it.from, it.to - it.from)
	if kind == "bytes" and not value then
		if it.to > it.start then r.tree:add(field, r.tvb(it.start, it.to - it.start)) end
	else
		r.tree:add(field, range, value or it.value)
	end
	return it
end

local function show_u64(r, key, field)
	local it = r.map[key]
	if it and it.kind == "number" and not (type(it.value) == "number" and it.value < 0) then
		return show(r, key, field, "number", u64(it.value))
	end
end

local function show_u32(r, key, field)
	local it = r.map[key]
	if it and it.kind == "number" and type(it.value) == "number" and it.value >= 0 and it.value < 2 ^ 32 then
		return show(r, key, field, "number", it.value)
	end
end

local function show_string(r, key, field)
	local it = r.map[key]
	if it and (it.kind == "bytes" or it.kind == "text") then
		show(r, key, field, it.kind, escaped(r.s, it))
		return escaped(r.s, it)
	end
end

local function show_strings(r, key, field)
	local it, words = r.map[key], {}
	for _, one in ipairs(it and it.list or {}) do
		if one.start then
			table.insert(words, escaped(r.s, one))
			r.tree:add(field, r.tvb(one.from, one.to - one.from), words[#words])
		end
	end
	return words
end

local function show_mounts(r)
	for _, m in ipairs(r.map.mnt and r.map.mnt.list or {}) do
		local l = m.list
		if l and #l == 3 and l[1].start and l[2].start and type(l[3].value) == "number" then
			r.tree:add(f.mnt, r.tvb(m.from, m.to - m.from), escaped(r.s, l[1]) .. " at " .. escaped(r.s, l[2])
				.. (l[3].value % 2 == 1 and " rw" or " ro"))
		end
	end
end

-- [port, name, [field names]] of every call.
local function learn_calls(r)
	for _, row in ipairs(r.map.call and r.map.call.list or {}) do
		local l = row.list
		if l and #l == 3 and l[1].kind == "number" and l[2].start and l[3].list then
			local call = { name = escaped(r.s, l[2]), fields = {} }
			for _, name in ipairs(l[3].list) do
				table.insert(call.fields, name.start and escaped(r.s, name) or "?")
			end
			state.calls[l[1].value] = call
		end
	end
end

local function show_header(r)
	learn_calls(r)
	show_u32(r, "bjt", f.version)
	local prog = show_string(r, "prog", f.prog)
	local abi = show_string(r, "abi", f.abi)
	local gen = show_u32(r, "gen", f.gen)
	show_u64(r, "mem", f.mem)
	show_u64(r, "clk", f.clk)
	show_u64(r, "seed", f.seed)
	show_string(r, "cwd", f.cwd)
	show_string(r, "cpu", f.cpu)
	local argv = show_strings(r, "argv", f.argv)
	show_strings(r, "karg", f.karg)
	show_strings(r, "env", f.env)
	show_mounts(r)
	show(r, "guest", f.guest, "bytes")
	state.header_more = r.map.more and r.map.more.value
	return "header", (prog or "header") .. ": " .. table.concat(argv, " ") .. " (" .. (abi or "?") .. " v"
		.. tostring(gen and gen.value or "?") .. ")"
end

local function show_args(r, call)
	local it, values = r.map.a, {}
	if not it or not it.list then return values end
	local parent = r.tree:add(f.args, r.tvb(it.from, it.to - it.from))
	for i, arg in ipairs(it.list) do
		local name = call and call.fields[i] or "?"
		if arg.kind == "number" then
			values[name] = arg.value
			parent:add(args[name] or f.other, r.tvb(arg.from, arg.to - arg.from),
				is_signed[name] and i64(signed(arg.value)) or u64(arg.value))
		end
	end
	return values
end

local function result_text(r)
	local it = r.map.r
	if not it or it.kind ~= "number" then return r.map.more and " ..." or " (in flight)" end
	local shown = r.tree:add(f.ret, r.tvb(it.from, it.to - it.from), i64(it.value))
	local name = type(it.value) == "number" and it.value < 0 and errnos[-it.value]
	if not name then return " -> " .. tostring(it.value) end
	r.tree:add(f.errno, r.tvb(it.from, it.to - it.from), name)
	shown:add_proto_expert_info(failed, name)
	return " -> -" .. name
end

-- The question of a call that goes on: what later packets do not say again.
local function question(r)
	local nr, n = r.map.nr, tostring(r.map.n.value)
	if not nr then return state.begun[n] or {} end
	local q = { nr = nr.value, call = state.calls[nr.value] }
	if r.map.more then state.begun[n] = q end
	return q
end

local function show_call(r)
	local q = question(r)
	local is_port = type(q.nr) == "number" and q.nr >= 0 and q.nr < 65536
	local name = q.call and q.call.name or is_port and string.format("call 0x%x", q.nr)
		or "call" .. (q.nr and " " .. tostring(q.nr) or "")
	show_u64(r, "n", f.n)
	r.tree:add(f.call, name)
	if not show_u32(r, "nr", f.nr) and is_port then r.tree:add(f.nr, q.nr):set_generated() end
	local values = show_args(r, q.call)
	if values.fd then name = name .. " " .. tostring(signed(values.fd)) end
	if values.name then
		local path = show_string(r, "in", f.path)
		name = name .. ' "' .. (path or "") .. '"'
	end
	if values.code then name = name .. " " .. tostring(signed(values.code)) end
	local result = result_text(r)
	local info = name .. (r.map.fin and "" or result)
	show_u64(r, "ip", f.ip)
	show_u64(r, "d", f.dur)
	show(r, "in", f["in"], "bytes")
	show(r, "out", f.out, "bytes")
	show(r, "bad", f.fault, "simple")
	show(r, "fin", f.fin, "simple")
	return (r.map.more or not r.map.r) and (r.map.more and "part" or "pending") or "call", info
end

local function show_blob(r)
	show(r, "blob", f.hash, "bytes")
	local it = show(r, "data", f.data, "bytes")
	return "blob", "contents, " .. (it and it.to - it.start or 0) .. " bytes" .. (r.map.more and " ..." or "")
end

local function show_tree(r)
	local before = r.map.tree
	local kind = kinds[(before or r.map.after).value] or "?"
	local path = show_string(r, "path", f.path)
	show_u32(r, "mount", f.mount)
	show_u32(r, "mode", f.mode)
	show_u64(r, "size", f.size)
	show_u64(r, "same", f.same)
	show(r, "xdev", f.xdev, "simple")
	show(r, "hash", f.hash, "bytes")
	local target = show_string(r, "target", f.target)
	return before and "before" or "after", (before and "before: " or "after: ") .. kind .. ' "' .. (path or "") .. '"'
		.. (target and ' to "' .. target .. '"' or "")
end

local function show_edit(r)
	local reg = show_string(r, "reg", f.edit)
	if not reg then r.tree:add(f.edit, "memory") end
	show_u64(r, "edit", f.n)
	show_u64(r, "at", f.at)
	show_u64(r, "ex", f.ex)
	show_u64(r, "ip", f.ip)
	show_u64(r, "gpa", f.gpa)
	local data = show(r, "out", f.out, "bytes")
	return "edit", "a debugger wrote " .. (reg or (data and data.to - data.start or 0) .. " bytes of memory")
		.. (r.map.at and " " .. tostring(r.map.at.value) .. " instructions behind the call before"
			or ", the next call being held")
end

local function show_end(r)
	show_u64(r, "end", f.calls)
	local it = r.map.stop
	local stop = it and stops[it.value] or "?"
	if it then r.tree:add(f.stop, r.tvb(it.from, it.to - it.from), stop) end
	local code = r.map.code
	if code and code.kind == "number" then
		r.tree:add(f.code, r.tvb(code.from, code.to - code.from), i64(code.value))
	end
	local text = show_string(r, "text", f.text)
	return "end", "end: " .. stop .. " " .. tostring(code and code.value or "")
		.. (text and text ~= "" and ": " .. text or "")
end

local function is_number(it) return it and it.kind == "number" end

local function show_record(r)
	local map = r.map
	if map.bjt or state.header_more then return show_header(r) end
	if is_number(map.n) then return show_call(r) end
	if map.blob then return show_blob(r) end
	if is_number(map.tree) or is_number(map.after) then return show_tree(r) end
	if map["end"] then return show_end(r) end
	if is_number(map.edit) then return show_edit(r) end
	return "unknown", "unknown record"
end

local encaps = wtap_encaps or wtap
local by_encap = DissectorTable.get("wtap_encap")
local others = by_encap:get_dissector(encaps.USER0)

function bjt.dissector(tvb, pinfo, tree)
	if not state then bjt.init() end
	local s = tvb:raw()
	local map = decode(s)
	if pinfo.number == 1 then
		state.ours = map ~= nil and map.bjt ~= nil
		state.header_more = nil
	end
	if not state.ours then
		-- Another's capture of the same link type.
		return others and others:call(tvb, pinfo, tree) or 0
	end
	pinfo.cols.protocol = "BJT"
	local top = tree:add(bjt, tvb())
	if not map then
		top:add_proto_expert_info(broken)
		pinfo.cols.info = "broken record"
		return tvb:len()
	end
	local kind, info = show_record({ tvb = tvb, tree = top, map = map, s = s })
	top:add(f.record, kind)
	top:append_text(": " .. info)
	if map.more and map.more.value then top:add(f.more, true) end
	pinfo.cols.info = info
	return tvb:len()
end

by_encap:add(encaps.USER0, bjt)
