/*-------------------------------------------------------------------------
 *
 * codec_check.c
 *		Are the functions that write and read the keys of a set what they must be?
 *
 * They are tried when they are new, with times from now on: the encoder makes one
 * key of a time, and greater ones of later times; the decoder reads them back.
 * Raises errors, and changes nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "codec.h"
#include "internal.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* so many points within a year from now are tried */
#define TRIALS 64

/* timestamptz_to_str has one buffer for all that it returns */
static char *
time_text(TimestampTz time)
{
	return pstrdup(timestamptz_to_str(time));
}

/* warn_volatile tells what a function that is not IMMUTABLE costs. */
static void
warn_volatile(Oid function, const char *what, const char *name)
{
	if (func_volatile(function) == PROVOLATILE_VOLATILE)
		ereport(WARNING,
				(errmsg("%s %s is VOLATILE", what, name),
				 errhint("If it is IMMUTABLE, and marked so, queries that call it for a time read only the partitions they need.")));
}

/* check_deterministic refuses an encoder that makes different keys of one time. */
static void
check_deterministic(const Codec *codec, int64 pos)
{
	Datum		a = pm_codec_encode(codec, pos);
	Datum		b = pm_codec_encode(codec, pos);

	if (pm_codec_compare(codec, a, b) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time_encoder %s makes different keys of one time", codec->encoder_name),
				 errdetail("Of %s it makes %s and then %s.", time_text(pos),
						   quote_literal_cstr(pm_codec_value_text(codec, a)), quote_literal_cstr(pm_codec_value_text(codec, b))),
				 errhint("It must make the lowest key of a time: all that is random in a key is zero.")));
}

/*
 * read_back is what the decoder makes of the encoder's key; it must be near the time:
 * keys may count seconds, or days, if partitions are not smaller.
 */
static int64
read_back(const Codec *codec, int64 pos, Datum key, int64 width)
{
	char	   *text = pm_codec_value_text(codec, key);
	TimestampTz time;

	if (!pm_codec_decode(codec, text, &time))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time_decoder %s finds no time in %s", codec->decoder_name, quote_literal_cstr(text)),
				 errdetail("That is what time_encoder %s makes of %s.", codec->encoder_name, time_text(pos))));
	if (time > pos + USECS_PER_SEC || time < pos - Max(width, USECS_PER_SEC))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time_decoder %s reads another time than time_encoder %s has written",
						codec->decoder_name, codec->encoder_name),
				 errdetail("Of %s the encoder makes %s, in which the decoder reads %s.", time_text(pos),
						   quote_literal_cstr(text), time_text(time))));
	return time;
}

/* check_order refuses an encoder whose keys do not come in the order of time. */
static void
check_order(const Codec *codec, int64 start, int64 width)
{
	Datum		before = pm_codec_encode(codec, start);

	for (int64 i = 1; i <= TRIALS; i++)
	{
		int64		pos = start + i * i * (366 * USECS_PER_DAY / (TRIALS * TRIALS)) / USECS_PER_SEC * USECS_PER_SEC;
		Datum		key = pm_codec_encode(codec, pos);

		if (pm_codec_compare(codec, before, key) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("time_encoder %s makes lower keys of later times", codec->encoder_name),
					 errdetail("%s, of %s, comes before %s%s%s.", quote_literal_cstr(pm_codec_value_text(codec, key)),
							   time_text(pos), quote_literal_cstr(pm_codec_value_text(codec, before)),
							   OidIsValid(codec->collation) ? " in collation " : "",
							   OidIsValid(codec->collation) ? pm_collation_name(codec->collation) : ""),
					 OidIsValid(codec->collation) ?
					 errhint("If the keys are right, partition by the column with COLLATE \"C\".") : 0));
		(void) read_back(codec, pos, key, width);
		before = key;
	}
}

/* check_bound refuses a bound that would be another one when it is read again. */
static void
check_bound(const PartSet *set, int64 pos, int64 width)
{
	const Codec *codec = (Codec *) set->key.codec;

	if (read_back(codec, pos, pm_codec_encode(codec, pos), width) != pos)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bound %s of table \"%s\" is finer than what time_encoder %s writes",
						time_text(pos), set->name, codec->encoder_name),
				 errhint("Take an interval, and an origin, in the units that the keys count.")));
}

/*
 * pm_codec_check raises an error if the functions of a set are not what they must
 * be, as far as trying them shows that, or do not go with its grid.
 */
void
pm_codec_check(const PartSet *set, TimestampTz now)
{
	const Codec *codec = (Codec *) set->key.codec;
	int64		bound;
	int64		next;
	int64		width = 0;
	bool		has_cell;

	if (codec == NULL)
		return;
	warn_volatile(codec->encoder, "time_encoder", codec->encoder_name);
	warn_volatile(codec->decoder, "time_decoder", codec->decoder_name);
	check_deterministic(codec, now);
	has_cell = pm_key_floor(&set->key, &set->grid, now, &bound) && pm_key_next(&set->key, &set->grid, now, &next);
	if (has_cell)
		width = next - bound;
	check_order(codec, now / USECS_PER_SEC * USECS_PER_SEC, width);
	if (has_cell)
	{
		check_bound(set, bound, width);
		check_bound(set, next, width);
	}
}
