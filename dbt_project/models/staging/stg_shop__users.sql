{{ config(tags=['whole']) }}

with source as (

    select * from {{ source('shop', 'users') }}

),

final as (

    select
        {{ pseudonym('user_id') }} as user_id,
        {{ single_spaced('country') }} as country,
        {{ single_spaced('segment') }} as segment,
        {{ dbt.safe_cast('signed_up_at', dbt.type_timestamp()) }} as signed_up_at
    from source

)

select * from final
