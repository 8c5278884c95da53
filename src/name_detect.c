/*-------------------------------------------------------------------------
 *
 * name_detect.c
 *		Find the format that the names of existing partitions follow.
 *
 * People have named partitions in a few dozen ways.  Each of them is tried on
 * the newest partition: filled in with its lower bound, is it the end of the
 * name?  Then what stands before it must be the same in most of the others.
 * So the bounds say what the names should be; no date is ever read out of one.
 *
 *-------------------------------------------------------------------------
 */
#include "partmgr.h"

#include "mb/pg_wchar.h"
#include "name.h"

/*
 * How names end.  _ stands for any of the separators.  Where two say the same
 * of a set's names, the one that explains more of the name is taken, and among
 * equals the first.
 */
static const char *const time_templates[] = {
	"{YYYY}_{MM}",
	"{YYYY}{MM}",
	"{YYYY}_{MM}_{DD}",
	"{YYYY}{MM}{DD}",
	"{YYYY}",
	"{YYYY}_q{Q}",
	"{YYYY}_Q{Q}",
	"{YYYY}q{Q}",
	"{YYYY}Q{Q}",
	"q{Q}_{YYYY}",
	"Q{Q}_{YYYY}",
	"y{YYYY}m{MM}",
	"y{YYYY}_m{MM}",
	"y{YYYY}m{MM}d{DD}",
	"y{YYYY}_m{MM}_d{DD}",
	"y{YYYY}q{Q}",
	"y{YYYY}w{IW}",
	"y{YYYY}",
	"m{YYYY}_{MM}",
	"d{YYYY}_{MM}_{DD}",
	"{IYYY}w{IW}",
	"{IYYY}W{IW}",
	"{IYYY}_w{IW}",
	"{IYYY}_W{IW}",
	"{IYYY}_{IW}",
	"{IYYY}{IW}",
	"{YYYY}w{IW}",
	"{YYYY}_w{IW}",
	"{YYYY}_{IW}",
	"{YYYY}{IW}",
	"{YYYY}_{DDD}",
	"{YYYY}{DDD}",
	"{YYYY}_{MM}_{DD}_{HH24}",
	"{YYYY}_{MM}_{DD}_{HH24}{MI}",
	"{YYYY}_{MM}_{DD}_{HH24}_{MI}",
	"{YYYY}_{MM}_{DD}_{HH24}{MI}{SS}",
	"{YYYY}_{MM}_{DD}_{HH24}_{MI}_{SS}",
	"{YYYY}{MM}{DD}_{HH24}",
	"{YYYY}{MM}{DD}_{HH24}{MI}",
	"{YYYY}{MM}{DD}_{HH24}{MI}{SS}",
	"{YYYY}{MM}{DD}{HH24}",
	"{YYYY}{MM}{DD}{HH24}{MI}",
	"{YYYY}{MM}{DD}{HH24}{MI}{SS}",
	"{YYYY}{MM}{DD}t{HH24}",
	"{YYYY}{MM}{DD}h{HH24}",
	"{YYYY}{MM}{DD}T{HH24}{MI}{SS}",
	"{YY}_{MM}",
	"{YY}{MM}",
	"{YY}_{MM}_{DD}",
	"{YY}{MM}{DD}",
	"{MM}_{YYYY}",
	"{MM}{YYYY}",
	"{DD}_{MM}_{YYYY}",
	"{DD}{MM}{YYYY}"
};

static const char *const id_templates[] = {
	"{id}"
};

static const char separators[] = "_-.";

/* a format under test, and how well it does */
typedef struct Candidate
{
	char	   *format;
	int			explained;		/* bytes of the newest name that are fields */
	int			matches;
} Candidate;


/* is_usable tells whether a partition's name says anything about a format. */
static bool
is_usable(const Partition *partition)
{
	return !partition->is_default && partition->is_readable &&
		!partition->bound.lower_open;
}

/* has_name tells whether a format gives a partition the name it has. */
static bool
has_name(const Partition *partition, const char *format, const char *parent,
		 const PartKey *key, const PartGrid *grid)
{
	char	   *name = pm_name_fill(format, parent, key, grid,
									&partition->bound, MAX_NAME);
	bool		result = (strcmp(name, partition->name) == 0);

	pfree(name);
	return result;
}

/*
 * begins_word tells whether text can follow a parent's name: "events_2025" is
 * not called after a parent "ev".
 */
static bool
begins_word(const char *text)
{
	return *text == '\0' || strchr("_-. ", *text) != NULL;
}

/*
 * make_format returns prefix || template with {parent} in place of the
 * parent's name, which may have been cut to make the name fit; or NULL if the
 * prefix cannot be part of a format.
 */
static char *
make_format(const char *prefix, const char *template, const char *parent,
			const Partition *newest, const PartKey *key, const PartGrid *grid)
{
	int			len = strlen(parent);
	int			same = 0;

	if (strncmp(prefix, parent, len) == 0 && begins_word(prefix + len))
	{
		prefix += len;
		if (strpbrk(prefix, "{}") != NULL)
			return NULL;
		return psprintf("{parent}%s%s", prefix, template);
	}

	/* A cut parent: the name is full, but for less than a character */
	if (strlen(newest->name) > MAX_NAME - MAX_MULTIBYTE_CHAR_LEN)
		while (prefix[same] != '\0' && prefix[same] == parent[same])
			same++;
	for (; same > 0; same--)
	{
		char	   *format;

		if (!begins_word(prefix + same) ||
			strpbrk(prefix + same, "{}") != NULL)
			continue;
		format = psprintf("{parent}%s%s", prefix + same, template);
		if (has_name(newest, format, parent, key, grid))
			return format;
	}

	if (strpbrk(prefix, "{}") != NULL)
		return NULL;
	return psprintf("%s%s", prefix, template);
}

/*
 * runs_on tells whether the digits of a value would run on from those
 * before it: then it is chance that the name ends in the value ("ev_0100").
 */
static bool
runs_on(const char *prefix, const char *value, const char *parent)
{
	size_t		len = strlen(prefix);

	return len > 0 && prefix[len - 1] >= '0' && prefix[len - 1] <= '9' &&
		value[0] >= '0' && value[0] <= '9' && strcmp(prefix, parent) != 0;
}

/*
 * try_template sets candidate to the format that a template makes of the
 * newest name, with the number of names that follow it; false if the newest
 * does not, or if the format does not suit the set.
 */
static bool
try_template(const char *template, const char *parent, const PartKey *key,
			 const PartGrid *grid, const Partition *newest, List *partitions,
			 Candidate *candidate)
{
	char	   *value = pm_name_fill(template, "", key, grid, &newest->bound,
									 MAX_NAME);
	int			len = strlen(value);
	int			prefix_len = (int) strlen(newest->name) - len;
	char	   *prefix;
	ListCell   *lc;

	if (prefix_len < 0 || strcmp(newest->name + prefix_len, value) != 0)
		return false;
	prefix = pnstrdup(newest->name, prefix_len);
	if (runs_on(prefix, value, parent))
		return false;

	candidate->format = make_format(prefix, template, parent, newest, key,
									grid);
	if (candidate->format == NULL ||
		pm_name_format_problem(candidate->format, key, grid) != NULL)
		return false;

	candidate->explained = len;
	candidate->matches = 0;
	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (is_usable(partition) &&
			has_name(partition, candidate->format, parent, key, grid))
			candidate->matches++;
	}
	return true;
}

/* with_separator returns a template with another separator for each _. */
static char *
with_separator(const char *template, char separator)
{
	char	   *result = pstrdup(template);

	for (char *p = result; *p != '\0'; p++)
		if (*p == '_')
			*p = separator;
	return result;
}

/*
 * best_candidate tries all templates, with all separators.  The most matches
 * win, then the most explained, then the first; matches is 0 if there is none.
 */
static Candidate
best_candidate(const char *const *templates, int ntemplates,
			   const char *parent, const PartKey *key, const PartGrid *grid,
			   const Partition *newest, List *partitions)
{
	Candidate	best = {NULL, 0, 0};

	for (int i = 0; i < ntemplates; i++)
	{
		for (const char *s = separators; *s != '\0'; s++)
		{
			Candidate	candidate;

			/* without a separator, once is enough */
			if (s != separators && strchr(templates[i], '_') == NULL)
				break;
			if (try_template(with_separator(templates[i], *s), parent, key,
							 grid, newest, partitions, &candidate) &&
				(candidate.matches > best.matches ||
				 (candidate.matches == best.matches &&
				  candidate.explained > best.explained)))
				best = candidate;
		}
	}
	return best;
}

/*
 * pm_name_detect returns the format that the names of the newest partition and
 * of more than half of all follow, or NULL.  Defaults, partitions without a
 * lower bound and those whose bounds could not be read are left out.
 */
char *
pm_name_detect(const char *parent, const PartKey *key, const PartGrid *grid,
			   List *partitions)
{
	const Partition *newest = NULL;
	int			usable = 0;
	Candidate	best;
	ListCell   *lc;

	foreach(lc, partitions)
	{
		const Partition *partition = lfirst(lc);

		if (!is_usable(partition))
			continue;
		usable++;
		if (newest == NULL || partition->bound.lower > newest->bound.lower)
			newest = partition;
	}
	if (newest == NULL)
		return NULL;

	if (key->axis == AXIS_ID)
		best = best_candidate(id_templates, lengthof(id_templates), parent,
							  key, grid, newest, partitions);
	else
		best = best_candidate(time_templates, lengthof(time_templates), parent,
							  key, grid, newest, partitions);
	return (best.matches * 2 > usable) ? best.format : NULL;
}
