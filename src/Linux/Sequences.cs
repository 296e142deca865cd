namespace KataLike;

/// <summary>The two operators of LINQ that are used most, for this project's namespaces.</summary>
/// <remarks>
/// Compiled ahead of time, the library's Select takes code for each pair of types that any two of a program meet in, 1 MB in the
/// agent: memory of every sandbox.
/// </remarks>
public static class Sequences
{
    public static IEnumerable<TResult> Select<T, TResult>(this IEnumerable<T> source, Func<T, TResult> selector)
    {
        foreach (var item in source)
            yield return selector(item);
    }

    public static IEnumerable<T> Where<T>(this IEnumerable<T> source, Func<T, bool> predicate)
    {
        foreach (var item in source)
        {
            if (predicate(item))
                yield return item;
        }
    }
}
