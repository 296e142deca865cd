namespace KataLike;

/// <summary>The two operators of LINQ that are used most, for this project's namespaces.</summary>
/// <remarks>
/// Compiled ahead of time, the library's Select is there once for every two types that a program could join by two of them: 1.8 MB of the
/// agent, which is memory of every sandbox. Not for Contract, which does not see this assembly.
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
