/*-------------------------------------------------------------------------
 *
 * codec.c
 *		Keys with a time in them that functions of the user write and read: the
 *		encoder makes the lowest key of a time, the decoder reads the time in the
 *		text of a key.
 *
 * Here they are called: as the owner of the table, restricted, with search_path
 * pinned, whoever asks.  Which functions they are codec_find.c finds, and whether
 * they are what they must be codec_check.c tries.
 *
 * A value that the decoder cannot read is no error: rows may hold anything.  It
 * is one, and the decoder's own, if the decoder cannot read what the encoder
 * writes either.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "codec.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "internal.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "compat.h"

/* ---------- keys that are not exactly what the encoder makes ---------- */

typedef struct Odd
{
	Oid			type;
	Oid			decoder;
	char	   *text;
	Datum		value;
	int64		pos;
	int			next;			/* of the same bucket, -1 at its end */
} Odd;

#define BUCKETS 1024

static Odd *odds = NULL;
static int	nodds = 0;
static int	max_odds = 0;
static int	buckets[BUCKETS];

#define FIRST_HANDLE (PG_INT64_MIN + 1)

static bool
is_handle(int64 raw)
{
	return raw < MIN_TIMESTAMP;
}

static const Odd *
odd_of(int64 handle)
{
	Assert(is_handle(handle) && handle - FIRST_HANDLE < nodds);
	return &odds[handle - FIRST_HANDLE];
}

static void
grow_odds(void)
{
	if (odds == NULL)
	{
		for (int i = 0; i < BUCKETS; i++)
			buckets[i] = -1;
		max_odds = 64;
		odds = MemoryContextAlloc(TopMemoryContext, sizeof(Odd) * max_odds);
	}
	else if (nodds == max_odds)
	{
		odds = repalloc_huge(odds, sizeof(Odd) * max_odds * 2);
		max_odds *= 2;
	}
}

/* handle_of gives the handle of a value, the same for the same value. */
static int64
handle_of(const Codec *codec, Datum value, char *text, int64 pos)
{
	int			bucket = hash_bytes((unsigned char *) text, strlen(text)) % BUCKETS;
	MemoryContext old;
	Odd		   *odd;

	grow_odds();
	for (int i = buckets[bucket]; i >= 0; i = odds[i].next)
	{
		odd = &odds[i];
		if (odd->type == codec->type && odd->decoder == codec->decoder && strcmp(odd->text, text) == 0)
		{
			odd->pos = pos;		/* the function may have been replaced */
			return FIRST_HANDLE + i;
		}
	}
	odd = &odds[nodds];
	old = MemoryContextSwitchTo(TopMemoryContext);
	odd->type = codec->type;
	odd->decoder = codec->decoder;
	odd->text = pstrdup(text);
	odd->value = datumCopy(value, codec->typbyval, codec->typlen);
	odd->pos = pos;
	odd->next = buckets[bucket];
	MemoryContextSwitchTo(old);
	buckets[bucket] = nodds++;
	return FIRST_HANDLE + buckets[bucket];
}


/* ---------- calling the functions ---------- */

/* one call of one of them, for pm_attempt */
typedef struct Call
{
	const Codec *codec;
	Oid			function;
	Datum		arg;
	bool		isnull;
	Datum		result;
} Call;

static void
do_call(void *arg)
{
	Call	   *call = arg;
	const Codec *codec = call->codec;
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	flinfo;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	PmSpi		spi;

	pm_spi_begin(&spi, codec->owner);
	PushActiveSnapshot(GetLatestSnapshot());
	fmgr_info(call->function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, DEFAULT_COLLATION_OID, NULL, NULL);
	fcinfo->args[0].value = call->arg;
	fcinfo->args[0].isnull = false;
	call->result = FunctionCallInvoke(fcinfo);
	call->isnull = fcinfo->isnull;
	old = MemoryContextSwitchTo(caller);
	if (!call->isnull && call->function == codec->encoder)
		call->result = datumCopy(call->result, codec->typbyval, codec->typlen);
	MemoryContextSwitchTo(old);
	PopActiveSnapshot();
	pm_spi_end(&spi);
}

/* pm_codec_value_text is what a value of the key looks like. */
char *
pm_codec_value_text(const Codec *codec, Datum value)
{
	Oid			function;
	bool		is_varlena;

	getTypeOutputInfo(codec->type, &function, &is_varlena);
	return OidOutputFunctionCall(function, value);
}

/* pm_codec_encode makes a key of a time.  Errors: the encoder's own, and that it made none. */
Datum
pm_codec_encode(const Codec *codec, int64 pos)
{
	Call		call = {.codec = codec, .function = codec->encoder, .arg = TimestampTzGetDatum(pos)};

	do_call(&call);
	if (call.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("time_encoder %s returned null for %s", codec->encoder_name, timestamptz_to_str(pos))));
	return call.result;
}

static bool
is_time(const Call *call)
{
	return !call->isnull && IS_VALID_TIMESTAMP(DatumGetTimestampTz(call->result));
}

/*
 * pm_codec_decode reads the time in the text of a key; false if it is none that is
 * finite.  Errors: the decoder's own.
 */
bool
pm_codec_decode(const Codec *codec, char *text, TimestampTz *time)
{
	Call		call = {.codec = codec, .function = codec->decoder, .arg = CStringGetTextDatum(text)};

	do_call(&call);
	*time = call.isnull ? DT_NOBEGIN : DatumGetTimestampTz(call.result);
	return is_time(&call);
}

/*
 * prove raises an error if the decoder cannot read what the encoder makes of the
 * present either: then it is not the value that is wrong.
 */
static void
prove(Codec *codec)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	TimestampTz time;
	char	   *text;

	if (codec->is_proven)
		return;
	text = pm_codec_value_text(codec, pm_codec_encode(codec, now));
	if (!pm_codec_decode(codec, text, &time))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("time_decoder %s returned no time for %s", codec->decoder_name, quote_literal_cstr(text)),
				 errdetail("That is what time_encoder %s makes of %s.", codec->encoder_name, timestamptz_to_str(now))));
	codec->is_proven = true;
}

/* decode reads the time in a key; false if there is none that the decoder can read. */
static bool
decode(Codec *codec, char *text, int64 *pos)
{
	Call		call = {.codec = codec, .function = codec->decoder, .arg = CStringGetTextDatum(text)};
	ErrorData  *edata = pm_attempt(do_call, &call);

	if (edata || !is_time(&call))
	{
		prove(codec);
		return false;
	}
	codec->is_proven = true;
	*pos = DatumGetTimestampTz(call.result);
	return true;
}

/* pm_codec_compare compares two values in the order of the partition key. */
int
pm_codec_compare(const Codec *codec, Datum a, Datum b)
{
	TypeCacheEntry *type = lookup_type_cache(codec->type, TYPECACHE_CMP_PROC_FINFO);

	return DatumGetInt32(FunctionCall2Coll(&type->cmp_proc_finfo, codec->collation, a, b));
}


/* ---------- what key.c calls ---------- */

/* is a key exactly the one that the encoder makes of its time? */
static bool
is_exact(const Codec *codec, Datum value, int64 pos)
{
	Call		call = {.codec = codec, .function = codec->encoder, .arg = TimestampTzGetDatum(pos)};

	return pm_attempt(do_call, &call) == NULL && !call.isnull &&
		pm_codec_compare(codec, call.result, value) == 0;
}

static bool
codec_raw(PmCodec *base, Datum value, int64 *raw)
{
	Codec	   *codec = (Codec *) base;
	char	   *text;
	int64		pos;
	MemoryContext old;

	if (codec->has_last && datumIsEqual(codec->last, value, codec->typbyval, codec->typlen))
	{
		*raw = codec->last_raw;
		return true;
	}
	if (codec->typlen == -1)
		value = PointerGetDatum(PG_DETOAST_DATUM(value));
	text = pm_codec_value_text(codec, value);
	if (!decode(codec, text, &pos))
		return false;
	*raw = is_exact(codec, value, pos) ? pos : handle_of(codec, value, text, pos);

	old = MemoryContextSwitchTo(codec->context);
	if (codec->has_last && !codec->typbyval)
		pfree(DatumGetPointer(codec->last));
	codec->has_last = false;	/* in case that there is no memory */
	codec->last = datumCopy(value, codec->typbyval, codec->typlen);
	codec->last_raw = *raw;
	codec->has_last = true;
	MemoryContextSwitchTo(old);
	return true;
}

static bool
codec_place(PmCodec *base, Datum value, int64 *pos)
{
	Codec	   *codec = (Codec *) base;

	return decode(codec, pm_codec_value_text(codec, value), pos);
}

static bool
codec_position(PmCodec *base, int64 raw, bool round_up, int64 *pos)
{
	*pos = is_handle(raw) ? odd_of(raw)->pos + (round_up ? 1 : 0) : raw;
	return IS_VALID_TIMESTAMP(*pos);
}

static Datum
codec_datum(PmCodec *base, int64 raw)
{
	return is_handle(raw) ? odd_of(raw)->value : pm_codec_encode((Codec *) base, raw);
}

static char *
codec_text(PmCodec *base, int64 raw)
{
	return is_handle(raw) ? odd_of(raw)->text : pm_codec_value_text((Codec *) base, codec_datum(base, raw));
}

static int
codec_compare(PmCodec *base, int64 a, int64 b)
{
	if (!is_handle(a) && !is_handle(b))
		return a < b ? -1 : a > b;
	return pm_codec_compare((Codec *) base, codec_datum(base, a), codec_datum(base, b));
}


/* pm_codec_open puts the functions above into a codec, for key.c. */
void
pm_codec_open(Codec *codec)
{
	codec->base.raw = codec_raw;
	codec->base.place = codec_place;
	codec->base.position = codec_position;
	codec->base.datum = codec_datum;
	codec->base.text = codec_text;
	codec->base.compare = codec_compare;
}

/*
 * pm_codec_input reads the text of a key; false if the decoder finds no time in
 * it.  Errors: it is no value of the column's type.
 */
bool
pm_codec_input(const PartKey *key, const char *text, Datum *value, int64 *raw)
{
	Oid			function;
	Oid			param;

	getTypeInputInfo(key->type, &function, &param);
	*value = OidInputFunctionCall(function, unconstify(char *, text), param, -1);
	return key->codec->raw(key->codec, *value, raw);
}

/* pm_codec_decoder is the decoder as the user has written it, for messages. */
const char *
pm_codec_decoder(const PartKey *key)
{
	return ((const Codec *) key->codec)->decoder_name;
}


/* ---------- rows ---------- */

/* after the first one so many keys that cannot be read are passed at a time */
#define SKIP_KEYS 1000

/*
 * pm_codec_edge finds the lowest or highest key of a table, among the rows of a
 * condition that leaves out null, in which the decoder finds a time.  False: there is none.
 */
bool
pm_codec_edge(const PartKey *key, Oid owner, const char *table, const char *condition, bool highest,
			  int64 *raw)
{
	const char *column = key->codec->column;
	const char *type = format_type_be_qualified(key->type);
	char	   *from = "";
	int			limit = 1;

	for (;;)
	{
		PmSpi		spi;
		uint64		rows;
		char	   *last = NULL;
		bool		found = false;

		CHECK_FOR_INTERRUPTS();
		pm_spi_begin(&spi, owner);
		rows = pm_spi_select(psprintf("SELECT %s FROM %s WHERE %s%s ORDER BY %s%s LIMIT %d",
									  quote_identifier(key->attname), table, condition, from,
									  column, highest ? " DESC" : "", limit),
							 0, NULL, NULL, NULL);
		for (uint64 i = 0; i < rows && !found; i++)
		{
			bool		isnull;
			Datum		value = pm_spi_value(i, 1, &isnull);

			found = key->codec->raw(key->codec, value, raw);
			if (!found && i == rows - 1)
				last = pm_spi_string(i, 1);
		}
		pm_spi_end(&spi);
		if (found || rows < limit)
			return found;
		from = psprintf(" AND %s %s %s::%s", column, highest ? "<" : ">", quote_literal_cstr(last), type);
		limit = SKIP_KEYS;
	}
}
