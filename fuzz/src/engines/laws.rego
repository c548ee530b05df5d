package laws

import rego.v1

# What holds of any values `a` and `b`. Undefined is as good: that is for arguments which a function does not take.

a := input.a

b := input.b

whole(x) if {
	is_number(x)
	floor(x) == x
}

small(x) if {
	whole(x)
	abs(x) < 1000
}

# Numbers with many digits are read exactly, and floats are rounded.
short(x) if not regex.match(`[0-9]{16}|[0-9][eE]`, json.marshal(x))

broken contains "json comes back" if {
	input.json
	short(a)
	json.unmarshal(json.marshal(a)) != a
}

broken contains "json is told" if {
	input.json
	not json.is_valid(json.marshal(a))
}

broken contains "yaml reads json" if {
	input.json
	short(a)
	yaml.unmarshal(json.marshal(a)) != a
}

broken contains "base64 comes back" if base64.decode(base64.encode(a)) != a

broken contains "base64url comes back" if base64url.decode(base64url.encode(a)) != a

broken contains "base64url without padding comes back" if base64url.decode(base64url.encode_no_pad(a)) != a

broken contains "hex comes back" if hex.decode(hex.encode(a)) != a

broken contains "urls come back" if urlquery.decode(urlquery.encode(a)) != a

broken contains "base64 is valid" if not_valid64(a)

not_valid64(x) if {
	is_string(x)
	not base64.is_valid(base64.encode(x))
}

broken contains "reversed twice" if strings.reverse(strings.reverse(a)) != a

broken contains "split and joined" if {
	b != ""
	concat(b, split(a, b)) != a
}

broken contains "replaced by itself" if replace(a, b, b) != a

broken contains "nothing replaced" if strings.replace_n({}, a) != a

broken contains "the whole of a text" if substring(a, 0, -1) != a

broken contains "the parts of a text" if {
	small(b)
	b >= 0
	b <= count(a)
	concat("", [substring(a, 0, b), substring(a, b, -1)]) != a
}

broken contains "upper twice" if upper(upper(a)) != upper(a)

broken contains "lower twice" if lower(lower(a)) != lower(a)

broken contains "trimmed twice" if trim_space(trim_space(a)) != trim_space(a)

broken contains "trimmed of some twice" if trim(trim(a, b), b) != trim(a, b)

broken contains "trimmed from both sides" if trim(a, b) != trim_left(trim_right(a, b), b)

broken contains "the prefix is what is trimmed" if {
	startswith(a, b)
	concat("", [b, trim_prefix(a, b)]) != a
}

broken contains "the suffix is what is trimmed" if {
	endswith(a, b)
	concat("", [trim_suffix(a, b), b]) != a
}

broken contains "what is no prefix stays" if {
	startswith(a, b) == false
	trim_prefix(a, b) != a
}

broken contains "what is contained is somewhere" if {
	contains(a, b)
	indexof(a, b) < 0
}

broken contains "what is not contained is nowhere" if {
	contains(a, b) == false
	indexof(a, b) >= 0
}

broken contains "what is contained is counted" if {
	b != ""
	contains(a, b) == false
	strings.count(a, b) != 0
}

broken contains "any prefix is a prefix" if strings.any_prefix_match(a, b) != startswith(a, b)

broken contains "any suffix is a suffix" if strings.any_suffix_match(a, b) != endswith(a, b)

broken contains "a text is shown as it is" if {
	is_string(a)
	sprintf("%v %s", [a, a]) != concat(" ", [a, a])
}

broken contains "a percent sign is shown" if sprintf("%%", []) != "%"

broken contains "a number comes back" if {
	whole(a)
	short(a)
	to_number(sprintf("%d", [a])) != a
}

broken contains "a formatted number comes back" if {
	small(a)
	to_number(format_int(a, 10)) != a
}

broken contains "a matched glob" if {
	is_string(a)
	not glob.match(glob.quote_meta(a), [], a)
}

broken contains "a regex replaced by what it matched" if regex.replace(b, a, "${0}") != b

broken contains "what a regex finds is there" if {
	some part in regex.find_n(a, b, -1)
	not contains(b, part)
}

broken contains "a regex that matches finds" if {
	regex.match(a, b)
	count(regex.find_n(a, b, -1)) == 0
}

broken contains "a regex that does not match finds nothing" if {
	regex.match(a, b) == false
	count(regex.find_n(a, b, -1)) > 0
}

broken contains "a regex that matches is valid" if {
	is_boolean(regex.match(a, b))
	not regex.is_valid(a)
}

broken contains "sorted twice" if sort(sort(a)) != sort(a)

broken contains "sorted in order" if {
	sorted := sort(a)
	some i
	sorted[i] > sorted[i + 1]
}

broken contains "sorted and all there" if count(sort(a)) != count(a)

broken contains "reversed list" if array.reverse(array.reverse(a)) != a

broken contains "two lists" if count(array.concat(a, b)) != count(a) + count(b)

broken contains "the whole of a list" if array.slice(a, 0, count(a)) != a

broken contains "a list of its items" if {
	is_array(a)
	[x | some x in a] != a
}

broken contains "a set of its items" if {
	is_set(a)
	{x | some x in a} != a
}

broken contains "a map of its items" if {
	is_object(a)
	{k: v | some k, v in a} != a
}

broken contains "an item is in" if {
	some x in a
	not x in a
}

broken contains "union from both sides" if (a | b) != (b | a)

broken contains "intersection from both sides" if (a & b) != (b & a)

broken contains "parted and put together" if ((a - b) | (a & b)) != a

broken contains "what is taken away is gone" if count((a - b) & b) != 0

broken contains "union of one" if {
	is_set(a)
	union({a}) != a
}

broken contains "the largest is in" if {
	largest := max(a)
	not is_string(a)
	not largest in a
}

broken contains "the smallest is not larger" if min(a) > max(a)

broken contains "one order" if count([x | some x in [a < b, a == b, a > b]; x]) != 1

broken contains "one order, or the same" if (a <= b) != (b >= a)

broken contains "not equal" if (a == b) == (a != b)

broken contains "one type" if count([x | some x in [is_null(a), is_boolean(a), is_number(a), is_string(a), is_array(a), is_object(a), is_set(a)]; x]) != 1

broken contains "union with itself" if object.union(a, a) != a

broken contains "union of maps of one" if {
	is_object(a)
	object.union_n([a]) != a
}

broken contains "all keys kept" if object.filter(a, object.keys(a)) != a

broken contains "all keys removed" if object.remove(a, object.keys(a)) != {}

broken contains "a part of itself" if {
	is_object(a)
	not object.subset(a, a)
}

broken contains "what is got is there" if {
	is_object(a)
	some k, v in a
	not is_array(k) # a path
	object.get(a, k, "nothing") != v
}

broken contains "nothing patched" if {
	input.json
	json.patch(a, []) != a
}

broken contains "nothing removed" if {
	is_object(a)
	json.remove(a, []) != a
}

broken contains "the whole is walked" if {
	not [[], a] in [[path, x] | walk(a, [path, x])]
}

broken contains "what is walked is there" if {
	is_object(a)
	walk(a, [path, x])
	count(path) == 1
	a[path[0]] != x
}

broken contains "plus and minus" if {
	whole(a)
	whole(b)
	(a + b) - b != a
}

broken contains "times from both sides" if a * b != b * a

broken contains "between floor and ceiling" if {
	not between(a)
	is_number(a)
}

between(x) if {
	floor(x) <= x
	x <= ceil(x)
}

broken contains "the rest is less" if {
	whole(a)
	whole(b)
	abs(a % b) >= abs(b)
}

broken contains "quotient and rest" if {
	small(a)
	small(b)
	r := a % b
	floor((a - r) / b) * b + r != a
}

broken contains "exclusive or with itself" if bits.xor(a, a) != 0

broken contains "and with itself" if bits.and(a, a) != a

broken contains "or with itself" if bits.or(a, a) != a

broken contains "negated twice" if bits.negate(bits.negate(a)) != a

broken contains "a range backwards" if {
	small(a)
	small(b)
	array.reverse(numbers.range(a, b)) != numbers.range(b, a)
}

broken contains "sum of one" if {
	is_number(a)
	sum([a]) != a
}

broken contains "a network has itself" if {
	net.cidr_is_valid(a)
	not net.cidr_contains(a, a)
}

broken contains "networks meet from both sides" if net.cidr_intersects(a, b) != net.cidr_intersects(b, a)

broken contains "what has another meets it" if {
	net.cidr_contains(a, b)
	not net.cidr_intersects(a, b)
}

broken contains "merged twice" if net.cidr_merge(net.cidr_merge([a, b])) != net.cidr_merge([a, b])

broken contains "versions from both sides" if semver.compare(a, b) != 0 - semver.compare(b, a)

broken contains "a version is itself" if {
	semver.is_valid(a)
	semver.compare(a, a) != 0
}

broken contains "a time comes back" if {
	whole(a)
	time.parse_rfc3339_ns(time.format(a)) != a
}

broken contains "no time later" if {
	is_number(a) # and no list of a time and its zone
	time.add_date(a, 0, 0, 0) != a
}

broken contains "no time between" if time.diff(a, a) != [0, 0, 0, 0, 0, 0]

broken contains "a digest" if count(crypto.sha256(a)) != 64

broken contains "a copy" if {
	x := a
	x != a
}

broken contains "with itself" if {
	x := copy with input.a as a
	x != a
}

copy := input.a
